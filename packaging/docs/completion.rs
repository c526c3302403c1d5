//! Completions for bash, zsh and fish: clap_complete's scripts, which know verbs, flags and their words, and what only
//! the running program knows: names of apps and instances, which it prints for `stead __complete` (cli::args::Offer).
//! Owns: which argument is completed by which of these, once for all three shells.
//! Never: names a verb or a flag; the grammar does.

use anyhow::{Result, ensure};
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::aot::{Shell, generate};
use stead::cli::args::Cli;

/// What an argument can be, besides what clap_complete knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    Selectors,
    Apps,
    /// An app, or a file of any kind.
    Targets,
    Signals,
    Topics,
    Files,
    Nothing,
}

impl Live {
    fn of(arg: &Arg) -> Live {
        match (arg.get_id().as_str(), arg.get_value_hint()) {
            ("selectors", _) => Live::Selectors,
            ("app", _) => Live::Apps,
            ("targets", _) => Live::Targets,
            ("signal" | "stop_signal", _) => Live::Signals,
            ("topic", _) => Live::Topics,
            (_, ValueHint::AnyPath | ValueHint::FilePath) => Live::Files,
            _ => Live::Nothing,
        }
    }

    /// The word after `stead __complete`.
    fn offer(self) -> Option<&'static str> {
        match self {
            Live::Selectors => Some("selectors"),
            Live::Apps | Live::Targets => Some("apps"),
            Live::Signals => Some("signals"),
            Live::Topics => Some("topics"),
            Live::Files | Live::Nothing => None,
        }
    }

    /// The case of the functions in `BASH`.
    fn word(self) -> &'static str {
        match self {
            Live::Targets => "targets",
            Live::Files => "files",
            Live::Nothing => "nothing",
            other => other.offer().unwrap_or("nothing"),
        }
    }
}

/// Every script: its file name and its text.
pub fn scripts() -> Result<Vec<(String, String)>> {
    let command = shown();
    let script = |shell| -> Result<String> {
        let mut script = Vec::new();
        generate(shell, &mut shown(), "stead", &mut script);
        Ok(String::from_utf8(script)?)
    };
    Ok(vec![
        ("stead.bash".to_owned(), bash(&script(Shell::Bash)?, &command)?),
        ("_stead".to_owned(), zsh(&script(Shell::Zsh)?, &command)?),
        ("stead.fish".to_owned(), script(Shell::Fish)? + &fish(&command)),
    ])
}

/// The grammar without what is hidden, which clap_complete would offer all the same.
fn shown() -> Command {
    let mut whole = Cli::command();
    whole.build();
    Command::new("stead")
        .disable_help_subcommand(true)
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())).cloned())
        .subcommands(Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()).cloned())
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

fn names(verb: &Command) -> Vec<&str> {
    std::iter::once(verb.get_name()).chain(verb.get_all_aliases()).collect()
}

/// The positional arguments, without those after `--`, which are the app's.
fn positionals(verb: &Command) -> Vec<&Arg> {
    verb.get_positionals().filter(|arg| !arg.is_last_set()).collect()
}

/// Flags whose value is the next word.
fn valued(command: &Command) -> Vec<String> {
    let takes = |arg: &&Arg| arg.get_action().takes_values() && !arg.is_positional() && !arg.is_require_equals_set();
    let flags = command.get_arguments().filter(takes);
    flags
        .flat_map(|arg| {
            let long = arg.get_long().map(|long| format!("--{long}"));
            arg.get_short().map(|short| format!("-{short}")).into_iter().chain(long)
        })
        .collect()
}

const BASH: &str = r#"
# Below: what clap_complete cannot know. Its function is asked first, and its answer stays for flags and their words.
__stead_offer() {
    stead __complete "$1" 2>/dev/null
}

# What fits the word that is typed. Bash breaks words at @, : and =, and wants back only what follows the last of these.
__stead_reply() {
    local line=${COMP_LINE:0:COMP_POINT} word head
    word=${line##*[[:space:]]}
    head=${word%"${word##*[@:=]}"}
    local generation=
    # old:api: a generation before any selector.
    if [[ $word == *:* ]]; then generation=${word%%:*}: word=${word#*:}; fi
    mapfile -t COMPREPLY < <(compgen -P "$generation" -W "$1" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}

__stead_live() {
    local verb='' before=0 i first=nothing rest=nothing valued signals=''
    _stead "$@"
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) # What follows is the app's.
                COMPREPLY=()
                return 0 ;;
            @GLOBAL@) [[ -n $verb ]] || { [[ ${COMP_WORDS[i + 1]} != = ]] || i=$((i + 1)); i=$((i + 1)); } ;;
            -* | = | @ | :) ;;
            *) if [[ -z $verb ]]; then verb=${COMP_WORDS[i]}; else before=$((before + 1)); fi ;;
        esac
    done
    [[ -n $verb && $2 != -* ]] || return 0
    case $verb in
@VERBS@
        *) return 0 ;;
    esac
    local prev=$3
    [[ $prev != = ]] || prev=${COMP_WORDS[COMP_CWORD - 2]}
    if [[ " $signals " == *" $prev "* ]]; then
        __stead_reply "$(__stead_offer signals)"
        return 0
    fi
    [[ " $valued " != *" $prev "* ]] || return 0
    [[ $before == 0 ]] || first=$rest
    case $first in
        nothing) [[ ${COMP_CWORD} -le 2 ]] || COMPREPLY=() ;;
        files) COMPREPLY=(); compopt -o default ;;
        targets)
            __stead_reply "$(__stead_offer apps)"
            local files
            mapfile -t files < <(compgen -f -- "$2")
            COMPREPLY+=("${files[@]}")
            compopt -o filenames ;;
        *) __stead_reply "$(__stead_offer "$first")" ;;
    esac
}
"#;

fn bash(generated: &str, command: &Command) -> Result<String> {
    let cases: Vec<String> = verbs(command)
        .map(|verb| {
            let live: Vec<Live> = positionals(verb).into_iter().map(Live::of).collect();
            let first = live.first().copied().unwrap_or(Live::Nothing);
            // Another positional, or more of the same.
            let many = positionals(verb).len() > 1
                || positionals(verb).last().is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append));
            let rest = if many { live.last().copied().unwrap_or(first) } else { Live::Nothing };
            let signals = verb.get_arguments().filter(|arg| !arg.is_positional() && Live::of(arg) == Live::Signals);
            let signals: Vec<String> = signals.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
            format!(
                "        {}) first={} rest={} signals='{}' valued='{}' ;;",
                names(verb).join(" | "),
                first.word(),
                rest.word(),
                signals.join(" "),
                valued(verb).join(" ")
            )
        })
        .collect();
    let own = BASH.replace("@VERBS@", &cases.join("\n")).replace("@GLOBAL@", &valued(command).join(" | "));
    // Its positionals stand among its words, as "[FILE]".
    let mut script = String::new();
    for line in generated.lines() {
        match line.trim_start().strip_prefix("opts=\"") {
            Some(words) if !words.starts_with('"') => {
                let indent = &line[..line.len() - line.trim_start().len()];
                let words = words.trim_end_matches('"').split(' ').filter(|word| !word.starts_with(['[', '<']));
                let words: Vec<&str> = words.collect();
                script.push_str(&format!("{indent}opts=\"{}\"\n", words.join(" ")));
            }
            _ => script.push_str(&format!("{line}\n")),
        }
    }
    let at = script.rfind("\nif [[ \"${BASH_VERSINFO[0]}\"").map(|at| at + 1);
    ensure!(
        at.is_some() && script.matches("complete -F _stead ").count() > 0,
        "clap_complete's script for bash has changed"
    );
    script.insert_str(at.unwrap_or_default(), own.trim_start_matches('\n'));
    Ok(script.replace("complete -F _stead ", "complete -F __stead_live "))
}

const ZSH: &str = "\
__stead_offer() {
    local -a words
    local expl
    words=(${(f)\"$(_call_program words stead __complete $1 2>/dev/null)\"})
    _wanted words expl $1 compadd -a words
}
__stead_selectors() {
    # old:api: a generation before any selector.
    compset -P '(queue|new|running|old|marked):'
    __stead_offer selectors
}
__stead_apps() { __stead_offer apps }
__stead_signals() { __stead_offer signals }
__stead_topics() { __stead_offer topics }
__stead_targets() { _alternative 'apps:app:__stead_apps' 'files:file:_files' }

";

fn zsh(generated: &str, command: &Command) -> Result<String> {
    let mut script = String::new();
    let mut replaced = 0;
    for line in generated.lines() {
        let live = line.strip_suffix(":_default' \\").and_then(|spec| Some((spec, zsh_live(spec, command)?)));
        match live {
            Some((spec, live)) => {
                replaced += 1;
                // With two colons, zsh would look for no flag after the first of them.
                let spec = spec.replacen("'*::", "'*:", 1);
                script.push_str(&format!("{spec}:__stead_{}' \\\n", live.word()));
            }
            None => script.push_str(&format!("{line}\n")),
        }
    }
    let at = script.find("_stead() {");
    ensure!(at.is_some() && replaced > 10, "clap_complete's script for zsh has changed");
    script.insert_str(at.unwrap_or_default(), ZSH);
    Ok(script)
}

/// `'*::selectors -- Only these` or `'--stop-signal=[…]:SIGNAL` in a specification of _arguments.
fn zsh_live(spec: &str, command: &Command) -> Option<Live> {
    let args = || verbs(command).flat_map(|verb| verb.get_arguments());
    let found = match spec.strip_prefix("'--") {
        Some(flag) => {
            let long = flag.split('=').next()?;
            args().find(|arg| arg.get_long() == Some(long))?
        }
        None => {
            let id = spec.trim_start_matches(['\'', '*', ':']).split(' ').next()?;
            args().find(|arg| arg.is_positional() && arg.get_id() == id)?
        }
    };
    Some(Live::of(found)).filter(|live| live.offer().is_some())
}

fn fish(command: &Command) -> String {
    let mut script = String::from("# What only the running program knows.\n");
    for verb in verbs(command) {
        let condition = format!("__fish_stead_using_subcommand {}", names(verb).join(" "));
        for (n, arg) in positionals(verb).into_iter().enumerate() {
            let live = Live::of(arg);
            let Some(offer) = live.offer() else { continue };
            // The first of several has its place, and the last all places after it.
            let place = match (n, positionals(verb).len()) {
                (_, 1) => String::new(),
                (0, _) => "; and test (count (__fish_stead_words)) -eq 0".to_owned(),
                _ => "; and test (count (__fish_stead_words)) -gt 0".to_owned(),
            };
            let files = if live == Live::Targets { "" } else { " -f" };
            script.push_str(&format!(
                "complete -c stead -n \"{condition}{place}\"{files} -a \"(stead __complete {offer} 2>/dev/null)\"\n"
            ));
        }
        for arg in verb.get_arguments().filter(|arg| !arg.is_positional() && Live::of(arg) == Live::Signals) {
            let long = arg.get_long().unwrap_or_default();
            script.push_str(&format!(
                "complete -c stead -n \"{condition}\" -l {long} -x -a \"(stead __complete signals 2>/dev/null)\"\n"
            ));
        }
    }
    script + FISH_WORDS
}

const FISH_WORDS: &str = "\
# The words after the command, without flags.
function __fish_stead_words
    set -l words (commandline -opc)
    set -e words[1]
    argparse -s (__fish_stead_global_optspecs) -- $words 2>/dev/null
    or return
    set -e argv[1]
    string match -v -- '-*' $argv
end
";
