//! `stead monit` in a real terminal: what a person sees and does, and that the terminal is theirs again afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stead::tui::screen::Screen;

use crate::support::{Stead, eventually};

/// A terminal with a shell in it, kept by a tmux of its own.
struct Terminal<'a> {
    stead: &'a Stead,
    sockets: PathBuf,
}

/// What the shell says when it is done with a command.
const PROMPT: &str = "your-turn>";

impl<'a> Terminal<'a> {
    fn new(stead: &'a Stead) -> Self {
        let sockets = stead.path("tmux");
        fs::create_dir_all(&sockets).unwrap();
        let terminal = Self { stead, sockets };
        let shell = format!("exec env PS1='{PROMPT} ' sh -i");
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &shell]);
        terminal.sees(PROMPT);
        terminal
    }

    #[track_caller]
    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        self.stead.settle_environment(&mut command);
        let binaries = PathBuf::from(self.stead.command(&[]).get_program());
        let path = format!("{}:{}", binaries.parent().unwrap().display(), std::env::var("PATH").unwrap());
        // tmux takes no text that is not ASCII unless it is told that the terminal does.
        let output = command.args(["-u", "-L", "t"]).args(args).env("TMUX_TMPDIR", &self.sockets).env("PATH", path);
        let output = output.env_remove("TMUX").env("TERM", "xterm").output().unwrap();
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "0"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "0"])
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        self.sees_that(text, |screen| screen.contains(text));
    }

    #[track_caller]
    fn sees_that(&self, what: &str, check: impl Fn(&str) -> bool) {
        let mut screen = String::new();
        let seen = eventually(|| {
            screen = self.screen();
            check(&screen)
        });
        assert!(seen, "never seen: {what}\n{screen}\n{}", self.stead.daemon_log());
    }

    #[track_caller]
    fn monit(&self, args: &str) {
        self.press(&[&format!("stead monit {args}"), "Enter"]);
        self.sees("stead monit  ");
    }

    /// The process that is in front, if it is not the shell itself.
    fn child(&self) -> Option<i32> {
        let shell = self.tmux(&["display-message", "-p", "-t", "0", "#{pane_pid}"]).trim().to_owned();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// The shell's own screen, with a cursor, and a line discipline that echoes and edits what is typed.
    #[track_caller]
    fn is_as_it_was(&self) {
        let gone = eventually(|| self.child().is_none());
        assert!(gone, "it is still there:\n{}", self.screen());
        let flags = || self.tmux(&["display-message", "-p", "-t", "0", "#{alternate_on} #{cursor_flag}"]);
        assert!(eventually(|| flags().trim() == "0 1"), "{}", flags());
        self.press(&["clear; stty -a; echo $((40 + 2))-is-said", "Enter"]);
        self.sees("42-is-said");
        let screen = self.screen();
        let words: Vec<&str> = screen.split([' ', '\n', ';']).collect();
        for word in ["echo", "icanon", "isig", "opost", "icrnl"] {
            assert!(words.contains(&word), "{word} is off:\n{screen}");
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        let _ = command.args(["-L", "t", "kill-server"]).env("TMUX_TMPDIR", &self.sockets).output();
    }
}

/// Two apps: one that talks, and one that does not.
fn two_apps() -> Stead {
    let stead = Stead::new();
    let talk = "i=0; while :; do i=$((i+1)); echo said $i times; sleep 0.2; done";
    stead
        .run(&["start", "sh", "--name", "talker", "--memory-max", "64M", "--ready-on", "instant", "--", "-c", talk])
        .ok();
    stead.run(&["start", "sleep", "--name", "mute", "-i", "2", "--ready-on", "instant", "--", "1000"]).ok();
    stead
}

#[test]
fn a_person_sees_what_runs_acts_on_it_and_quits() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    terminal.monit("");
    terminal.sees("3 instances, 3 running");
    for row in ["mute/0", "mute/1", "talker/0"] {
        terminal.sees(row);
    }
    // Its log follows the selection, and goes on by itself.
    terminal.press(&["G"]);
    terminal.sees("talker/0@1: ready");
    let times = |screen: &str| {
        screen.lines().rev().find_map(|line| line.rsplit_once("| said ")?.1.split(' ').next()?.parse::<u32>().ok())
    };
    terminal.sees_that("a line of the talker", |screen| times(screen).is_some());
    let first = times(&terminal.screen()).unwrap();
    terminal.sees_that("newer lines", |screen| times(screen).is_some_and(|now| now > first));
    // No answer, no restart; then one.
    let before = stead.pid("mute/0");
    terminal.press(&["g", "r"]);
    terminal.sees("Restart mute/0?");
    terminal.press(&["n"]);
    terminal.sees_that("no question", |screen| !screen.contains("Restart mute/0?"));
    assert_eq!(stead.pid("mute/0"), before);
    terminal.press(&["r", "y"]);
    terminal.sees("mute/0 replaced");
    stead.wait("mute/0", "another process", |row| row["pid"].as_i64().is_some_and(|pid| pid != i64::from(before)));
    terminal.press(&["l", "y"]);
    terminal.sees("mute/0 replaced, and 1 more");
    terminal.press(&["s", "y"]);
    terminal.sees("mute/0 stopped");
    stead.wait("mute/0", "stopped", |row| row["status"] == "stopped");
    terminal.press(&["u", "y"]);
    terminal.sees("mute/0 started");
    terminal.press(&["c", "+1", "Enter"]);
    terminal.sees("mute/2");
    // What was done is told among the events, and a filter shows some only.
    terminal.press(&["Tab", "Tab"]);
    terminal.sees("mute/2 new,");
    terminal.press(&["/", "talk", "Enter"]);
    terminal.sees("1 with \"talk\" of 4 instances");
    terminal.press(&["q"]);
    terminal.is_as_it_was();
    assert_eq!(stead.list().len(), 4, "everything runs on");
}

#[test]
fn what_the_daemon_cannot_do_is_said_on_the_screen() {
    let stead = two_apps();
    stead.run(&["start", "sh", "--name", "no", "--restart", "never", "--", "-c", "exit 3"]).fails();
    let terminal = Terminal::new(&stead);
    terminal.monit("");
    terminal.sees("no/0");
    terminal.press(&["/", "no/", "Enter", "u", "y"]);
    terminal.sees("start no/0: failed");
    terminal.sees("exit, code 3");
    terminal.press(&["x"]);
    terminal.sees_that("no more of it", |screen| !screen.contains("Any key closes this."));
    terminal.press(&["q"]);
    terminal.is_as_it_was();
}

#[test]
fn it_fits_itself_to_the_terminal_whenever_that_changes() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    terminal.monit("");
    terminal.sees("[log] details  events");
    terminal.tmux(&["resize-window", "-t", "0", "-x", "200", "-y", "60"]);
    terminal.sees_that("all panes at once", |screen| {
        let title = screen.lines().find(|line| line.contains("[log]")).unwrap_or_default();
        title.contains(" details  mute/0") && screen.lines().any(|line| line.trim() == "events")
    });
    terminal.tmux(&["resize-window", "-t", "0", "-x", "30", "-y", "5"]);
    terminal.sees("too small");
    terminal.tmux(&["resize-window", "-t", "0", "-x", "80", "-y", "24"]);
    terminal.sees("[log] details  events");
    terminal.press(&["q"]);
    terminal.is_as_it_was();
}

#[test]
fn there_are_no_colours_where_none_are_wished() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    let colored = |terminal: &Terminal<'_>| {
        let text = terminal.tmux(&["capture-pane", "-e", "-p", "-t", "0"]);
        // Foregrounds and backgrounds, but for those that mean none.
        let codes =
            text.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m')).flat_map(|(codes, _)| codes.split(';'));
        codes.filter_map(|code| code.parse::<u32>().ok()).any(|code| matches!(code, 30..=38 | 40..=48 | 90..=107))
    };
    for (command, expected) in [
        ("stead monit", true),
        ("stead monit --no-color", false),
        ("stead --color never monit", false),
        ("NO_COLOR=1 stead monit", false),
    ] {
        terminal.press(&[command, "Enter"]);
        terminal.sees("3 running");
        assert_eq!(colored(&terminal), expected, "{command}");
        terminal.press(&["q"]);
        terminal.is_as_it_was();
        terminal.press(&["clear", "Enter"]);
        terminal.sees_that("a clear screen", |screen| !screen.contains("is-said"));
    }
}

#[test]
fn a_signal_ends_it_and_leaves_the_terminal_as_it_was() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        terminal.monit("");
        terminal.sees("3 running");
        kill(Pid::from_raw(terminal.child().unwrap()), signal).unwrap();
        terminal.is_as_it_was();
        terminal.press(&["clear", "Enter"]);
    }
    terminal.monit("");
    terminal.press(&["C-c"]);
    terminal.is_as_it_was();
}

#[test]
fn it_can_be_put_aside_and_taken_up_again() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    terminal.monit("");
    terminal.sees("3 running");
    terminal.press(&["C-z"]);
    terminal.sees("Stopped");
    terminal.press(&["echo $((40 + 1))-meanwhile", "Enter"]);
    terminal.sees("41-meanwhile");
    terminal.press(&["fg", "Enter"]);
    terminal.sees("3 running");
    terminal.press(&["?"]);
    terminal.sees("+- keys");
    terminal.press(&["x", "q"]);
    terminal.is_as_it_was();
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was_with_its_words_on_it() {
    const HERE: &str = "STEAD_TEST_PANICS_HERE";
    if std::env::var_os(HERE).is_some() {
        let _screen = Screen::take().unwrap();
        panic!("words of the panic");
    }
    let stead = Stead::new();
    let terminal = Terminal::new(&stead);
    let own = std::env::current_exe().unwrap();
    let name = "monit::a_panic_leaves_the_terminal_as_it_was_with_its_words_on_it";
    terminal.press(&[&format!("clear; {HERE}=1 {} --exact {name} --nocapture", own.display()), "Enter"]);
    terminal.sees("words of the panic");
    terminal.is_as_it_was();
}

#[test]
fn it_outlives_the_daemon_says_so_and_goes_on_with_the_next() {
    let stead = two_apps();
    let terminal = Terminal::new(&stead);
    terminal.monit("");
    terminal.press(&["G"]);
    terminal.sees("said ");
    // One that is killed is back at once.
    let daemon = daemon_of(&stead);
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    terminal.sees("the daemon does not answer");
    terminal.sees("3 instances, 3 running");
    terminal.press(&["Tab", "Tab"]);
    terminal.sees("stead the daemon answers again");
    terminal.press(&["Tab"]);
    let lines = |screen: &str| screen.matches("| said ").count();
    terminal.sees_that("its log", |screen| lines(screen) > 2);
    // One that is shut down is waited for.
    stead.run(&["shutdown"]).ok();
    terminal.sees("no daemon is running");
    stead.run(&["start", "mute"]).ok();
    terminal.sees("3 instances, ");
    terminal.press(&["q"]);
    terminal.is_as_it_was();
}

/// The holder's only child that is a daemon.
fn daemon_of(stead: &Stead) -> i32 {
    let run = format!("STEAD_RUNTIME_DIR={}", stead.path("run").display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.find(|pid| {
        let ours = fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|v| v == run.as_bytes()));
        ours && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "steadd")
    });
    found.expect("a daemon runs")
}

#[test]
fn without_a_terminal_it_names_what_to_use_instead() {
    let stead = Stead::new();
    let said = stead.run(&["monit"]).fails();
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("monit needs a terminal") && said.err.contains("\"stead list --json\""), "{}", said.err);
    let terminal = Terminal::new(&stead);
    terminal.press(&["TERM=dumb stead monit", "Enter"]);
    terminal.sees("monit needs a terminal");
    // And with no daemon there is nothing to watch: that is said before the screen is taken.
    terminal.press(&["clear; stead monit", "Enter"]);
    terminal.sees("no daemon is running");
    terminal.is_as_it_was();
}
