//! stead(1), and a page for each command, from the grammar that the program itself reads.
//! Owns: their order, and what of them is the same for all commands.
//! Never: says what a flag does; `cli::args` and the table of keys do.

use clap::{Arg, Command, CommandFactory};
use stead::cli::args::Cli;
use stead::cli::exit;

use crate::roff::Page;

const MANUAL: &str = "stead manual";

const WHAT_IT_IS: &str = "\
stead runs and supervises apps: any program in any language, each run of each instance in a control group of its own. \
The work is done by a daemon, steadd(8), which systemd runs, or which the first `stead start` starts where there is no \
systemd; `stead` is how people talk to it. It holds no power of its own: what it does can be done over D-Bus, too, see \
org.stead.Stead1(5).

Commands wait until the work is done, and end with an exit status other than 0 if it failed, with the reason and the \
app's last lines. Data goes to standard output, everything else to standard error.";

const ENVIRONMENT: [(&str, &str); 3] = [
    ("`NO_COLOR`, `CLICOLOR_FORCE`", "No colours, or colours in spite of a pipe, unless `--color` says otherwise."),
    (
        "`STEAD_RUNTIME_DIR`, `STEAD_STATE_DIR`, `STEAD_LOG_DIR`, `STEAD_CONFIG_DIR`",
        "Other directories than `/run/stead`, `/var/lib/stead`, `/var/log/stead` and `/etc/stead`. With a runtime \
         directory of its own a daemon runs beside the host's.",
    ),
    ("`SUDO_UID`", "Under sudo(8), whom apps run as that name no `user`."),
];

const FILES: [(&str, &str); 4] = [
    (
        "`stead.toml`, here or in a directory above",
        "What `start`, `check` and `plan` read when no file is named: see stead-app.toml(5).",
    ),
    ("`/etc/stead/stead.toml`", "Settings of the daemon: see stead.toml(5)."),
    ("`/etc/stead/apps.d/*.toml`, `/usr/lib/stead/apps.d/*.toml`", "Apps that are started at boot."),
    ("`/var/log/stead/APP/SLOT.log`", "What an instance writes, in CRI's format."),
];

/// Every page: its file name and its text.
pub fn pages(date: &str) -> Vec<(String, String)> {
    let mut command = Cli::command();
    // Tells each subcommand its full name.
    command.build();
    let mut pages = vec![("stead.1".to_owned(), overview(&command, date))];
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages.push((format!("stead-{}.1", sub.get_name()), page(sub, date)));
    }
    pages
}

fn overview(command: &Command, date: &str) -> String {
    let mut page = Page::new("STEAD", 1, date, MANUAL);
    page.section("Name").text("stead - keep programs running");
    page.section("Synopsis").text(&usage(command));
    page.section("Description").text(WHAT_IT_IS);
    options(&mut page, command);
    page.section("Commands");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let aliases: Vec<&str> = sub.get_visible_aliases().collect();
        let aliases = if aliases.is_empty() { String::new() } else { format!(", `{}`", aliases.join("`, `")) };
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        page.item(&format!("`{}`{aliases}", sub.get_name()), &format!("{about}. See stead-{}(1).", sub.get_name()));
    }
    page.section("Exit status");
    page.verbatim(exit::TABLE.split_once("\n\n").map_or(exit::TABLE, |(_, table)| table).trim_end());
    page.section("Environment").items(&ENVIRONMENT);
    page.section("Files").items(&FILES);
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let examples = examples.trim_start_matches("Examples:\n").split("\n\n").next().unwrap_or_default().to_owned();
        page.section("Examples").verbatim(&examples.lines().map(str::trim_start).collect::<Vec<_>>().join("\n"));
    }
    page.section("See also").text("steadd(8), stead-app.toml(5), stead.toml(5)");
    page.finish().to_owned()
}

fn page(command: &Command, date: &str) -> String {
    let full = format!("stead-{}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = Page::new(&full.to_uppercase(), 1, date, MANUAL);
    page.section("Name").text(&format!("{full} - {}{}", about[..1].to_lowercase(), &about[1..]));
    page.section("Synopsis").text(&usage(command));
    let more = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    // The first paragraph is the line of the overview, without a full stop.
    let sentences: Vec<String> = more.split("\n\n").map(|part| format!("{}.", part.trim_end_matches('.'))).collect();
    page.section("Description").text(&sentences.join("\n\n"));
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        page.text(&format!("It can be called `{}`, too.", aliases.join("`, `")));
    }
    options(&mut page, command);
    if let Some(more) = command.get_after_help() {
        let more = more.to_string();
        // "Selectors: all, an app (api), …": the word before the colon is the heading; of lines that are a table it stands
        // alone.
        match (more.split_once(":\n"), more.split_once(": ")) {
            (Some((title, table)), _) => page.section(title).verbatim(table),
            (None, Some((title, text))) => page.section(title).text(text),
            (None, None) => page.section("Notes").text(&more),
        };
    }
    let more = if command.get_name() == "start" { "stead-app.toml(5), " } else { "" };
    page.section("See also").text(&format!("stead(1), {more}steadd(8)"));
    page.finish().to_owned()
}

/// `stead start [OPTIONS] [TARGET]...`; clap_mangen's own would name each of fifty flags.
fn usage(command: &Command) -> String {
    let text = command.clone().render_usage().to_string();
    let text = text.trim_start_matches("Usage: ").trim();
    let name = command.get_bin_name().unwrap_or("stead");
    format!("`{name}`{}", text.strip_prefix(name).unwrap_or_default())
}

/// Arguments, then flags under their headings, each with what `--help` says of it, and with what may be given.
fn options(page: &mut Page, command: &Command) {
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let mut headings = vec!["Arguments", "Options"];
    let heading = |arg: &Arg| if arg.is_positional() { "Arguments" } else { "Options" };
    let own = shown.iter().filter_map(|arg| arg.get_help_heading()).filter(|own| !headings.contains(own));
    let mut own: Vec<&str> = own.collect();
    own.dedup();
    headings.extend(own);
    for title in headings {
        let mut here =
            shown.iter().filter(|arg| arg.get_help_heading().unwrap_or_else(|| heading(arg)) == title).peekable();
        if here.peek().is_some() {
            page.section(title);
        }
        for arg in here {
            page.item(&term(arg), &about(arg));
        }
    }
}

/// `-n`, `--name` TEXT
fn term(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("`-{short}`"));
    let long = arg.get_long().map(|long| format!("`--{long}`"));
    let flags = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let takes = arg.get_num_args().is_some_and(|count| count.takes_values()) && !values.is_empty();
    match (arg.is_positional(), takes) {
        (true, _) if values.is_empty() => arg.get_id().to_string().to_uppercase(),
        (true, _) => values,
        (false, false) => flags,
        (false, true) if arg.is_require_equals_set() => format!("{flags}[={values}]"),
        (false, true) => format!("{flags} {values}"),
    }
}

fn about(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    let words: Vec<String> = arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let takes = arg.get_num_args().is_some_and(|count| count.takes_values());
    if takes && !words.is_empty() {
        text.push_str(&format!(" One of {}.", words.join(", ")));
    }
    if let ([default], false) = (arg.get_default_values(), arg.is_hide_default_value_set())
        && takes
    {
        text.push_str(&format!(" Default: `{}`.", default.display()));
    }
    text.trim().to_owned()
}
