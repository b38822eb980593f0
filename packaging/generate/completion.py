#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Writes the completions for bash, zsh and fish, from the tables that the program itself goes by.

usage: completion.py IOLEDGER BASH ZSH FISH      the files to write
"""
import sys

sys.dont_write_bytecode = True
from tables import Ledger, kind_of, words_of  # pylint: disable=wrong-import-position

HEADER = """# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
# Made from the tables of ioledger %s by packaging/generate/completion.py.
"""

BASH = """
_ioledger()
{
    local cur prev words cword command= option= start i
    _get_comp_words_by_ref -n =: cur prev words cword || return

    for ((i = 1; i < cword; i++)); do
        if [[ ${words[i]} != -* ]]; then
            command=${words[i]}
            start=$((i + 1))
            break
        fi
    done
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W '%(top)s' -- "$cur")
        return
    fi

    # What stands behind CMD, or behind --, is CMD's own.
    case $command in
    %(runners)s)
        for ((i = start; i < cword; i++)); do
            case ${words[i]} in
            --) _command_offset $((i + 1)); return ;;
            --*=*) ;;
            -*) _ioledger_takes "$command" "${words[i]}" && ((i++)) ;;
            *) _command_offset "$i"; return ;;
            esac
        done
        ;;
    esac

    if [[ $cur == --*=* ]]; then
        option=${cur%%%%=*} cur=${cur#*=}
    elif [[ $prev == -* ]] && _ioledger_takes "$command" "$prev"; then
        option=$prev
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_ioledger_options "$command")" -- "$cur")
        [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
        return
    fi
    _ioledger_value "$command" "$option"
}

_ioledger_options()
{
    case $1 in
%(options)s
    esac
}

# Whether the next word is the argument of that option.
_ioledger_takes()
{
    case $1,$2 in
%(takes)s
    esac
    return 1
}

_ioledger_list()
{
    local before=
    [[ $cur == *,* ]] && before=${cur%%,*},
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "${cur##*,}")
    compopt -o nospace
}

_ioledger_url()
{
    case $cur in
    sqlite:* | jsonl:*)
        local scheme=${cur%%%%:*}:
        mapfile -t COMPREPLY < <(compgen -f -P "$scheme" -- "${cur#*:}")
        compopt -o nospace
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W 'sqlite: postgresql://' -- "$cur")
        compopt -o nospace
        ;;
    esac
    __ltrim_colon_completions "$cur"
}

# Completes the argument of an option, or, with an empty one, of the command.
_ioledger_value()
{
    case $1,$2 in
%(values)s
    esac
} &&
    complete -F _ioledger ioledger
"""

BASH_VALUES = {
    "url": "_ioledger_url",
    "folder": "_filedir -d",
    "file": "_filedir",
    "user": 'mapfile -t COMPREPLY < <(compgen -u -- "$cur")',
    "pid": "mapfile -t COMPREPLY < <(compgen -W '$(ps -eo pid=)' -- \"$cur\")",
    "comm": "mapfile -t COMPREPLY < <(compgen -W '$(ps -eo comm=)' -- \"$cur\")",
    "command": "_command_offset \"$cword\"",
}


def names_of(option):
    return ["--" + option.name] + (["-" + option.letter] if option.letter else [])


def argument_kind(command):
    """What can be offered for an argument of the command that is no option: (kind, words)."""
    if command.runs_command:
        return "command", []
    return kind_of(command.arguments), words_of(command.arguments)


def bash_value(kind, words, is_list):
    if words and is_list:
        return "_ioledger_list '%s'" % " ".join(words)
    if words:
        return "mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")" % " ".join(words)
    return BASH_VALUES.get(kind)


def bash(ledger):
    options, takes, values = [], [], []
    for command in ledger.commands:
        names = ["--" + option.name + ("=" if option.argument and not option.optional else "") for option in command.options]
        options.append("    %s) echo '%s' ;;" % (command.name, " ".join(names)))
        with_argument = [name for option in command.options if option.argument and not option.optional for name in names_of(option)]
        if with_argument:
            takes.append("    %s) return 0 ;;" % " | ".join("%s,%s" % (command.name, name) for name in with_argument))
        for option in command.options:
            value = option.argument and bash_value(kind_of(option.argument, option.name), option.words, option.is_list)
            if value:
                values.append("    %s) %s ;;" % (" | ".join("%s,%s" % (command.name, name) for name in names_of(option)), value))
        kind, words = argument_kind(command)
        value = bash_value(kind, words, False)
        if value:
            values.append("    %s,) %s ;;" % (command.name, value))
    return BASH % {
        "top": " ".join([command.name for command in ledger.commands] + ["help", "--help", "--version"]),
        "runners": " | ".join(command.name for command in ledger.commands if command.runs_command),
        "options": "\n".join(options), "takes": "\n".join(takes), "values": "\n".join(values),
    }


ZSH = """
_ioledger_list()
{
    _values -s , "$@"
}

_ioledger_url()
{
    if compset -P 'sqlite:' || compset -P 'jsonl:'; then
        _files
    else
        compadd -S '' -- sqlite: postgresql://
    fi
}

_ioledger_comms()
{
    compadd -- ${(f)"$(ps -eo comm=)"}
}

_ioledger()
{
    local curcontext=$curcontext state line
    typeset -A opt_args

    _arguments -C '--help[list the commands]' '--version[print the version]' '1: :->command' '*:: :->arguments'
    case $state in
    command)
        local -a commands=(
%(commands)s
            'help:explain a command'
        )
        _describe -t commands 'command of ioledger' commands
        ;;
    arguments)
        case $line[1] in
%(cases)s
        esac
        ;;
    esac
}

_ioledger "$@"
"""

ZSH_VALUES = {"url": "_ioledger_url", "folder": "_files -/", "file": "_files", "user": "_users", "pid": "_pids",
              "comm": "_ioledger_comms"}


def zsh_text(text):
    """Inside of single quotes, and of the brackets of _arguments."""
    return text.replace("\\", "\\\\").replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_value(kind, words, is_list):
    if words and is_list:
        return "_ioledger_list word %s" % " ".join(words)
    return "(%s)" % " ".join(words) if words else ZSH_VALUES.get(kind, " ")


def zsh_option(option):
    argument = ""
    if option.argument:
        value = zsh_value(kind_of(option.argument, option.name), option.words, option.is_list)
        argument = "%s%s:%s" % (":" if not option.optional else "::", zsh_text(option.argument), value)
    repeat = "*" if "(repeatable)" in option.doc else ""
    mark = ("=-" if option.optional else "=") if option.argument else ""
    specs = ["'%s--%s%s[%s]%s'" % (repeat, option.name, mark, zsh_text(option.brief()), argument)]
    if option.letter:
        specs.append("'%s-%s[%s]%s'" % (repeat, option.letter, zsh_text(option.brief()), argument))
    return specs


def zsh(ledger):
    commands = ["            '%s:%s'" % (command.name, zsh_text(command.short).replace("\\:", ":")) for command in ledger.commands]
    cases = ["        help) _arguments '1:command:(%s)' ;;" % " ".join(command.name for command in ledger.commands)]
    for command in ledger.commands:
        specs = [spec for option in command.options for spec in zsh_option(option)]
        kind, words = argument_kind(command)
        if command.runs_command:
            specs += ["'(-)1:command:_command_names -e'", "'*:: :_normal'"]
        elif words or kind:
            specs.append("'*:%s:%s'" % (zsh_text(command.arguments), zsh_value(kind, words, False)))
        cases.append("        %s)\n            _arguments -S \\\n                %s\n            ;;" % (
            command.name, " \\\n                ".join(specs)))
    return ZSH % {"commands": "\n".join(commands), "cases": "\n".join(cases)}


FISH = """
function __ioledger_no_command
    set -l words (commandline -opc)
    for word in $words[2..-1]
        string match -q -- '-*' $word; or return 1
    end
    return 0
end

function __ioledger_command
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if not string match -q -- '-*' $word
            contains -- $word $argv
            return
        end
    end
    return 1
end

function __ioledger_url
    set -l word (commandline -ct | string replace -r '^--db=' '')
    if string match -q 'sqlite:*' -- $word
        for file in (string replace -r '^sqlite:' '' -- $word)*
            echo sqlite:$file
        end
    else
        printf '%s\\n' sqlite: postgresql://
    end
end

function __ioledger_list
    set -l word (commandline -ct | string replace -r '^--[a-z-]+=' '')
    set -l before (string match -r '^.*,' -- $word)
    for one in $argv
        echo $before$one
    end
end
"""

FISH_VALUES = {"url": "-xa '(__ioledger_url)'", "folder": "-xa '(__fish_complete_directories)'", "file": "-rF", "user": "-xa '(__fish_complete_users)'",
               "pid": "-xa '(__fish_complete_pids)'", "comm": "-xa '(ps -eo comm= | sort -u)'"}


def fish_text(text):
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def fish_value(kind, words, is_list):
    if words and is_list:
        return "-xa '(__ioledger_list %s)'" % " ".join(words)
    return "-xa '%s'" % " ".join(words) if words else FISH_VALUES.get(kind, "-x")


def fish(ledger):
    lines = ["complete -c ioledger -f"]
    for command in ledger.commands:
        lines.append("complete -c ioledger -n __ioledger_no_command -a %s -d %s" % (command.name, fish_text(command.short)))
    lines.append("complete -c ioledger -n __ioledger_no_command -a help -d 'explain a command'")
    lines.append("complete -c ioledger -n __ioledger_no_command -l help -d 'list the commands'")
    lines.append("complete -c ioledger -n __ioledger_no_command -l version -d 'print the version'")
    lines.append("complete -c ioledger -n '__ioledger_command help' -a '%s'" % " ".join(command.name for command in ledger.commands))
    for command in ledger.commands:
        where = "complete -c ioledger -n '__ioledger_command %s'" % command.name
        for option in command.options:
            letter = " -s " + option.letter if option.letter else ""
            value = ""
            if option.argument and not option.optional:
                value = " " + fish_value(kind_of(option.argument, option.name), option.words, option.is_list)
            lines.append("%s%s -l %s%s -d %s" % (where, letter, option.name, value, fish_text(option.brief())))
        kind, words = argument_kind(command)
        if kind == "command":
            lines.append("%s -xa '(__fish_complete_subcommand --fcs-skip=2)'" % where)
        elif words:
            lines.append("%s -a '%s'" % (where, " ".join(words)))
        elif kind == "file":
            lines.append("%s -F" % where)
        elif kind:
            lines.append("%s %s" % (where, FISH_VALUES[kind].replace("-xa", "-a")))
    return FISH + "\n" + "\n".join(lines) + "\n"


def main():
    ledger = Ledger(sys.argv[1])
    header = HEADER % ledger.version
    for path, text in zip(sys.argv[2:5], (header + bash(ledger), "#compdef ioledger\n" + header + zsh(ledger), header + fish(ledger))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
