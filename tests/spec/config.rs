//! Config, from text to specs: what is taken, what is refused and in which words.

use std::collections::BTreeMap;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use stead::config::host::{self, Host, Missing, Named};
use stead::config::{
    Authority, Context, Errors, FILE_MAX, RawApp, Source, Value, diff, keys, load, parse_toml, resolve, resolve_file,
    to_raw, to_toml,
};
use stead::model::listen::Listen;
use stead::model::quantity::{Bytes, Surge};
use stead::model::sandbox::{ProtectHome, ProtectSystem, Sandbox, Seccomp};
use stead::model::signal::Signal;
use stead::model::spec::{AppSpec, Balance, Identity, ReadyOn, Replace, StopScope};

/// A machine with these files in it, and these programs in /usr/bin.
struct Machine {
    files: Vec<&'static str>,
    programs: Vec<&'static str>,
    authority: Authority,
    user: Option<&'static str>,
    profile: Option<&'static str>,
}

fn machine() -> Machine {
    Machine {
        files: vec!["/srv/server.js", "/srv/worker.py", "/srv/run.sh", "/srv/bin/tool", "/srv/two words.js"],
        programs: vec!["node", "python3", "bash", "sh", "sleep", "npm"],
        authority: Authority::Root,
        user: Some("app"),
        profile: None,
    }
}

impl Machine {
    fn with<T>(&self, ask: impl FnOnce(&Context<'_>) -> T) -> T {
        let path = |name: &str| format!("/usr/bin/{name}");
        let lookup = |name: &str| self.programs.contains(&name).then(|| path(name));
        let is_file = |file: &str| {
            self.files.contains(&file) || self.programs.iter().any(|name| path(name) == file) || file == "/bin/sh"
        };
        ask(&Context {
            authority: self.authority,
            default_user: self.user,
            base_dir: "/srv",
            cpus: 4,
            unprivileged_port_start: 1024,
            profile: self.profile,
            lookup: &lookup,
            is_file: &is_file,
        })
    }

    fn load(&self, text: &str) -> Result<Vec<AppSpec>, Errors> {
        self.with(|ctx| load(Source::new("web.toml", text), ctx))
    }

    fn app(&self, keys: &str) -> Result<AppSpec, Errors> {
        self.load(&format!("[[app]]\n{keys}\n")).map(|mut specs| specs.remove(0))
    }
}

/// The one app with these keys.
#[track_caller]
pub fn app(keys: &str) -> AppSpec {
    machine().app(keys).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What is said of a file.
#[track_caller]
pub fn errors(text: &str) -> String {
    machine().load(text).expect_err("a mistake was taken").to_string()
}

// What is taken.

#[test]
fn one_key_is_enough() {
    let spec = app("run = \"server.js\"");
    assert_eq!(spec.name.as_str(), "server");
    assert_eq!(spec.command.program, "/usr/bin/node");
    assert_eq!(spec.command.args, ["/srv/server.js"]);
    assert_eq!(spec.command.script.as_deref(), Some("/srv/server.js"));
    assert_eq!(spec.command.shown, "server.js");
    assert_eq!((spec.cwd.as_str(), spec.identity.user.as_str(), spec.instances), ("/srv", "app", 1));
    assert_eq!((spec.stop_signal, spec.stop_scope), (Signal::INT, StopScope::Main));
    assert_eq!((spec.start_timeout, spec.restart_delay), (Duration::from_secs(30), None));
    assert_eq!(
        (spec.max_surge, spec.replace, spec.ready_on.clone()),
        (Surge::Percent(25), Replace::Auto, ReadyOn::Auto)
    );
    assert!(spec.process.no_new_privs && spec.share_ports && spec.listen.is_empty());
    assert_eq!(spec.balance, Balance::RoundRobin);
    assert_eq!((spec.process.umask, spec.max_restarts, spec.log.max_files), (0o022, 16, 8));
}

#[test]
fn the_extension_chooses_the_interpreter_and_a_key_overrules_it() {
    assert_eq!(app("run = \"worker.py\"").command.program, "/usr/bin/python3");
    assert_eq!(app("run = \"worker.py\"").stop_signal, Signal::TERM);
    assert_eq!(app("run = \"run.sh\"").command.program, "/usr/bin/bash");
    let direct = app("run = \"run.sh\"\ninterpreter = \"none\"\nargs = [\"a b\"]");
    assert_eq!((direct.command.program.as_str(), direct.command.script.as_deref()), ("/srv/run.sh", None));
    assert_eq!(direct.command.shown, "run.sh 'a b'");
    let tool = app("run = \"./bin/tool\"\ninterpreter = \"python3\"\ninterpreter_args = [\"-u\"]\nargs = [\"-v\"]");
    assert_eq!(tool.command.args, ["-u", "/srv/bin/tool", "-v"]);
    assert_eq!(app("run = \"bin/tool\"").command.program, "/srv/bin/tool");
    assert_eq!(app("run = \"two words.js\"").command.args, ["/srv/two words.js"]);
}

#[test]
fn bash_gives_way_to_sh_where_there_is_none() {
    let mut machine = machine();
    machine.programs.retain(|name| *name != "bash");
    assert_eq!(machine.app("run = \"run.sh\"").unwrap().command.program, "/usr/bin/sh");
}

#[test]
fn a_script_is_found_in_cwd_or_beside_the_file() {
    let mut machine = machine();
    machine.files.push("/srv/api/main.js");
    let spec = machine.app("run = \"main.js\"\ncwd = \"api/.\"").unwrap();
    assert_eq!((spec.cwd.as_str(), spec.command.args[0].as_str()), ("/srv/api", "/srv/api/main.js"));
    assert_eq!(machine.app("run = \"server.js\"\ncwd = \"api\"").unwrap().command.args, ["/srv/server.js"]);
}

#[test]
fn a_plain_command_line_runs_without_a_shell_and_is_known_for_what_it_runs() {
    let spec = app("run = \"node server.js --port=80\"");
    assert_eq!(spec.command.program, "/usr/bin/node");
    assert_eq!(spec.command.args, ["server.js", "--port=80"]);
    assert_eq!((spec.name.as_str(), spec.stop_signal), ("server", Signal::INT));
}

#[test]
fn a_command_line_with_shell_signs_replaces_its_shell() {
    let spec = app("run = \"sleep $TIME\"\nargs = [\"x y\"]");
    assert_eq!(spec.command.program, "/bin/sh");
    assert_eq!(spec.command.args, ["-c", "exec sleep $TIME \"$@\"", "sh", "x y"]);
    assert_eq!((spec.name.as_str(), spec.stop_scope), ("sleep", StopScope::Main));
}

#[test]
fn a_shell_that_stays_passes_its_stop_signal_on() {
    let spec = app("run = \"cd api && npm start\"");
    assert_eq!(spec.command.args, ["-c", "cd api && npm start"]);
    assert_eq!(spec.stop_scope, StopScope::All);
    assert_eq!(app("run = \"cd api && npm start\"\nstop_scope = \"main\"").stop_scope, StopScope::Main);
}

#[test]
fn a_list_is_exactly_the_program_and_its_arguments() {
    let spec = app("run = [\"sleep\", \"$HOME\", \"\"]\nargs = [\"5\"]");
    assert_eq!(spec.command.program, "/usr/bin/sleep");
    assert_eq!(spec.command.args, ["$HOME", "", "5"]);
    assert_eq!(spec.command.shown, "sleep '$HOME' '' 5");
}

#[test]
fn a_bare_zero_needs_no_unit() {
    let spec =
        app("run = \"server.js\"\nrestart_delay = 0\nlog_max_size = 0\nmemory_max = \"1G\"\nmemory_swap_max = 0");
    assert_eq!((spec.restart_delay, spec.log.max_size), (Some(Duration::ZERO), Bytes(0)));
    assert_eq!(spec.limits.memory_swap_max, Some(Bytes(0)));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_taken() {
    let specs = machine().load("\u{feff}[[app]]\r\nrun = \"server.js\"\r\n").unwrap();
    assert_eq!(specs[0].name.as_str(), "server");
}

#[test]
fn as_many_instances_as_cpus_can_be_written_in_two_ways() {
    for value in ["\"max\"", "0"] {
        assert_eq!(app(&format!("run = \"server.js\"\ninstances = {value}")).instances, 4);
    }
}

#[test]
fn variables_are_text_and_a_profile_is_laid_over_them() {
    let text = "[[app]]\nrun = \"server.js\"\n[app.env]\nPORT = 3000\nDEBUG = true\nMODE = \"dev\"\n\
                [app.profile.production.env]\nMODE = \"production\"\n";
    let env = |profile| {
        let machine = Machine { profile, ..machine() };
        machine.load(text).map(|specs| specs[0].env.clone())
    };
    let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    assert_eq!(env(None), Ok(of(&[("DEBUG", "true"), ("MODE", "dev"), ("PORT", "3000")])));
    assert_eq!(env(Some("production")), Ok(of(&[("DEBUG", "true"), ("MODE", "production"), ("PORT", "3000")])));
    assert_snapshot!(env(Some("producton")).unwrap_err(), @r#"web.toml: no app has a profile "producton": did you mean "production"?"#);
}

#[test]
fn flags_are_read_as_the_key_they_set() {
    let mut raw = RawApp::new([("run".into(), "server.js".into())]);
    for (name, text) in
        [("instances", "3"), ("no_new_privs", "false"), ("groups", "a,b"), ("args", "-v x"), ("memory_max", "64M")]
    {
        let key = keys::find(name).unwrap();
        raw.set(name, key.value_of(text));
    }
    let spec = machine().with(|ctx| resolve(&raw, None, ctx)).unwrap();
    assert_eq!(spec.instances, 3);
    assert!(!spec.process.no_new_privs);
    assert_eq!(spec.identity.groups, Some(vec!["a".into(), "b".into()]));
    assert_eq!(spec.command.args, ["/srv/server.js", "-v", "x"]);
    raw.set("instances", keys::find("instances").unwrap().value_of("0x"));
    raw.set("memory_max", keys::find("memory_max").unwrap().value_of("64Q"));
    raw.set("name", "../x".into());
    assert_snapshot!(machine().with(|ctx| resolve(&raw, None, ctx)).unwrap_err(), @r#"
    ../x: `name`: "../x" begins with '.': begin with a letter, a digit or "_"
    ../x: `memory_max`: unknown unit "Q" in "64Q": use B, K, M, G or T, as in "64M"
    ../x: `instances`: "0x" is not a number of instances: use a whole number from 1 to 1000, or "max"
    "#);
}

#[test]
fn an_owner_can_name_themself_and_set_nothing_that_is_roots() {
    let owner = Machine { authority: Authority::Owner, ..machine() };
    assert!(owner.app("run = \"server.js\"\nuser = \"app\"\nnice = 5\nno_new_privs = true\ncapabilities = []").is_ok());
    let wrong = owner.app(
        "run = \"server.js\"\nuser = \"root\"\ngroup = \"adm\"\nnice = -5\nno_new_privs = false\noom_score_adj = -1\n\
         capabilities = [\"CAP_SYS_ADMIN\"]",
    );
    assert_snapshot!(wrong.unwrap_err(), @r#"
    web.toml:3:8: `user`: only root may set another user
      3 | user = "root"
        |        ^^^^^^ leave it out, or have root start the app
    web.toml:4:9: `group`: only root may set this
      4 | group = "adm"
        |         ^^^^^ leave it out, or have root start the app
    web.toml:5:8: `nice`: only root may set this below 0
      5 | nice = -5
        |        ^^ leave it out, or have root start the app
    web.toml:6:16: `no_new_privs`: only root may set this to false
      6 | no_new_privs = false
        |                ^^^^^ leave it out, or have root start the app
    web.toml:7:17: `oom_score_adj`: only root may set this below 0
      7 | oom_score_adj = -1
        |                 ^^ leave it out, or have root start the app
    web.toml:8:16: `capabilities`: only root may set this
      8 | capabilities = ["CAP_SYS_ADMIN"]
        |                ^^^^^^^^^^^^^^^^^ leave it out, or have root start the app
    "#);
}

#[test]
fn every_key_of_the_table_is_read_and_judged() {
    for key in keys::all() {
        let mut raw = RawApp::new([("run".into(), "server.js".into())]);
        // No key takes a list with a table in it.
        raw.set(key.name, Value::List(vec![Value::table([]).into()]));
        let errors = machine().with(|ctx| resolve(&raw, None, ctx)).expect_err(key.name);
        assert_eq!(errors.0[0].key.as_deref(), Some(key.name), "{errors}");
    }
}

#[test]
fn every_default_of_the_table_is_what_an_absent_key_means() {
    let absent = app("run = \"server.js\"");
    for key in keys::all() {
        if let keys::Default::Text(text) = key.default {
            assert_eq!(
                app(&format!("run = \"server.js\"\n{} = {}", key.name, key.value_of(text))),
                absent,
                "{}",
                key.name
            );
        }
    }
}

// What is refused, and how that is said.

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    assert_snapshot!(errors("[[app]]\nrun = \"server.js\"\nmemory_mx = \"64M\"\nwatch = true\n"), @r#"
    web.toml:3:1: `memory_mx`: unknown key
      3 | memory_mx = "64M"
        | ^^^^^^^^^ did you mean `memory_max`?
    web.toml:4:1: `watch`: unknown key
      4 | watch = true
        | ^^^^^ leave it out: stead has no such key
    "#);
    assert_snapshot!(errors("aap = 1\nrun = \"x\"\nports = 2\n"), @r#"
    web.toml:1:1: `aap`: unknown key
      1 | aap = 1
        | ^^^ only `[[app]]` can stand here
    web.toml:2:1: `run`: unknown key
      2 | run = "x"
        | ^^^ it belongs to an app: write `[[app]]` on a line above it
    web.toml:3:1: `ports`: unknown key
      3 | ports = 2
        | ^^^^^ only `[[app]]` can stand here
    "#);
}

#[test]
fn a_wrong_type_or_unit_is_shown_where_it_stands() {
    let said = errors(
        "[[app]]\n\
         run = \"server.js\"\n\
         instances = true\n\
         memory_max = \"64Q\"\n\
         stop_timeout = 10\n\
         umask = 22\n\
         replace = \"newfirst\"\n\
         args = \"-v\"\n",
    );
    assert_snapshot!(said, @r#"
    web.toml:3:13: `instances`: cannot be a boolean
      3 | instances = true
        |             ^^^^ use a whole number from 1 to 1000, or "max"
    web.toml:4:14: `memory_max`: unknown unit "Q" in "64Q"
      4 | memory_max = "64Q"
        |              ^^^^^ use B, K, M, G or T, as in "64M"
    web.toml:5:16: `stop_timeout`: "10" has no unit
      5 | stop_timeout = 10
        |                ^^ use ms, s, m, h or d, as in "10s" or "500ms"
    web.toml:6:9: `umask`: cannot be a number
      6 | umask = 22
        |         ^^ use octal digits in quotes, as "022"
    web.toml:7:11: `replace`: unknown value "newfirst"
      7 | replace = "newfirst"
        |           ^^^^^^^^^^ use one of "auto", "new-first", "old-first", "by-port"
    web.toml:8:8: `args`: cannot be text
      8 | args = "-v"
        |        ^^^^ use a list of texts
    "#);
}

#[test]
fn a_name_that_would_be_a_path_or_a_selector_is_refused() {
    let said = errors(
        "[[app]]\n\
         name = \"../x\"\n\
         run = \"server.js\"\n\
         [[app]]\n\
         name = \"all\"\n\
         run = \"server.js\"\n",
    );
    assert_snapshot!(said, @r#"
    web.toml:2:8: `name`: "../x" begins with '.'
      2 | name = "../x"
        |        ^^^^^^ begin with a letter, a digit or "_"
    web.toml:5:8: `name`: "all" selects every app, and cannot name one
      5 | name = "all"
        |        ^^^^^ use another name
    "#);
}

#[test]
fn two_apps_of_one_name_are_refused() {
    let said = errors(
        "[[app]]\n\
         name = \"api\"\n\
         run = \"server.js\"\n\
         \n\
         [[app]]\n\
         name = \"api\"\n\
         run = \"worker.py\"\n",
    );
    assert_snapshot!(said, @r#"
    web.toml:6:8: `name`: two apps are called "api", first in line 2
      6 | name = "api"
        |        ^^^^^ give one of them another `name`
    "#);
}

#[test]
fn what_is_not_text_is_refused() {
    assert_snapshot!(Source::from_bytes("web.toml", b"[[app]]\nrun = \"caf\xe9\"".to_vec()).unwrap_err(), @"web.toml:2:11: byte 0xe9 is not UTF-8 text: save the file as UTF-8");
    assert_snapshot!(Source::from_bytes("web.toml", b"\x7fELF\0\0".to_vec()).unwrap_err(), @"web.toml: a binary file, not TOML text: is this the right file?");
    assert_snapshot!(Source::from_bytes("web.toml", vec![b' '; FILE_MAX + 1]).unwrap_err(), @"web.toml: larger than 1 MiB, which no config is: is this the right file?");
}

#[test]
fn a_file_without_an_app_says_how_to_write_one() {
    assert_snapshot!(errors(""), @r#"web.toml: no app in this file: write `[[app]]`, and on the next line `run = "server.js"`"#);
    assert_eq!(errors("# nothing\n"), errors(""));
    assert_eq!(errors("app = []"), errors(""));
    assert_snapshot!(errors("[app]\nrun = \"x\"\n"), @r#"
    web.toml:1:1: `app`: apps stand in a list, and this is one table
      1 | [app]
        | ^^^^^ write `[[app]]`, with two brackets
    "#);
    assert_snapshot!(errors("app = [1]\n"), @r#"
    web.toml:1:8: `app`: each app is a table, not a number
      1 | app = [1]
        |        ^ write `[[app]]` and its keys below
    "#);
}

#[test]
fn broken_toml_is_shown_at_every_place_it_breaks() {
    assert_snapshot!(errors("[[app]]\nrun = server.js\ncwd = \"/srv\"\ncwd = \"/opt\"\nname = \"a\n"), @r#"
    web.toml:2:7: not TOML: string values must be quoted, expected literal string
      2 | run = server.js
        |       ^^^^^^^^^
    web.toml:4:1: not TOML: duplicate key
      4 | cwd = "/opt"
        | ^^^
    web.toml:5:10: not TOML: invalid basic string, expected `"`
      5 | name = "a
        |          ^
    "#);
}

#[test]
fn mistakes_inside_tables_are_shown_at_their_place() {
    assert_snapshot!(errors(
        "[[app]]\nrun = \"server.js\"\ncapabilities = [\"CAP_NET_BIND_SERVIC\"]\n[app.rlimits]\nnofle = 1\nnofile = \"9:8\"\nstack = \"x\"\n\
         [app.profile.production]\ninstances = 4\n[app.env]\nRATE = 1.10\nLIST = [1]\n"
    ), @r#"
    web.toml:3:17: `capabilities`: unknown capability "CAP_NET_BIND_SERVIC"
      3 | capabilities = ["CAP_NET_BIND_SERVIC"]
        |                 ^^^^^^^^^^^^^^^^^^^^^ did you mean "CAP_NET_BIND_SERVICE"?
    web.toml:5:1: `rlimits.nofle`: unknown limit
      5 | nofle = 1
        | ^^^^^ did you mean `nofile`?
    web.toml:6:10: `rlimits.nofile`: the soft limit 9 is above the hard limit 8
      6 | nofile = "9:8"
        |          ^^^^^ write the soft one first
    web.toml:7:9: `rlimits.stack`: "x" is not a limit
      7 | stack = "x"
        |         ^^^ use a number, "infinity", or "soft:hard"
    web.toml:9:1: `profile.production.instances`: unknown key
      9 | instances = …
        | ^^^^^^^^^ a profile holds `env` and nothing else
    web.toml:11:8: `env.RATE`: a number with a fraction has several spellings
      11 | RATE = …
         |        ^ put it in quotes
    web.toml:12:8: `env.LIST`: cannot be a list
      12 | LIST = …
         |        ^ a variable is text: put it in quotes
    "#);
}

#[test]
fn no_excerpt_shows_a_variables_value() {
    let texts = [
        "[[app]]\nrun = \"server.js\"\nenv = { A = 1.5, TOKEN = \"hush\", B = [\"hush\"] }\n",
        "[[app]]\nrun = \"server.js\"\nenv = \"TOKEN=hush\"\n",
        "[[app]]\nrun = \"server.js\"\nenvv = { TOKEN = \"hush\" }\n",
        "[[app]]\nrun = \"server.js\"\nenv.TOKEN.X = \"hush\"\n",
        "[[app]]\nrun = \"server.js\"\nvars.TOKEN = \"hush\"\n",
        "[[app]]\nrun = \"server.js\"\n[app.env]\n\"A=B\" = \"hush\"\n",
        "[[app]]\nrun = \"server.js\"\n[app.env]\nTOKEN = \"hush\n",
        "[[app]]\nrun = \"server.js\"\nenv = { TOKEN = hush }\n",
        "[[app]]\nrun = \"server.js\"\n[[app.env]]\nTOKEN = \"hush\"\n",
        "[[app]]\nrun = \"server.js\"\nprofile = { x = { env = { TOKEN = [\"hush\"] }, y = 1 } }\n",
        "app = { env = { TOKEN = \"hush\" } }\n",
        "environment = { TOKEN = \"hush\" }\n",
    ];
    for text in texts {
        let said = errors(text);
        assert!(!said.contains("hush"), "{said}");
    }
    assert_snapshot!(errors(texts[0]), @r#"
    web.toml:3:13: `env.A`: a number with a fraction has several spellings
      3 | env = { A = …, TOKEN = …, B = … }
        |             ^ put it in quotes
    web.toml:3:38: `env.B`: cannot be a list
      3 | env = { A = …, TOKEN = …, B = … }
        |                               ^ a variable is text: put it in quotes
    "#);
    assert_snapshot!(errors(texts[6]), @r#"web.toml:4:14: not TOML: invalid basic string, expected `"`"#);
}

#[test]
fn what_does_not_exist_is_named_with_a_way_out() {
    let said = errors(
        "[[app]]\n\
         run = \"missing.js\"\n\
         [[app]]\n\
         run = \"nodde x\"\n\
         [[app]]\n\
         run = \"nodde\"\n\
         [[app]]\n\
         run = \"server.js\"\n\
         interpreter = \"bun\"\n\
         [[app]]\n\
         name = \"a\"\n",
    );
    assert_snapshot!(said, @r#"
    web.toml:2:7: `run`: no such file: /srv/missing.js
      2 | run = "missing.js"
        |       ^^^^^^^^^^^^ a relative path is taken from /srv
    web.toml:4:7: `run`: no program "nodde" in PATH
      4 | run = "nodde x"
        |       ^^^^^^^^^ install it, or give its absolute path
    web.toml:6:7: `run`: "nodde" is neither a file in /srv nor a program in PATH
      6 | run = "nodde"
        |       ^^^^^^^ give the path of a script or program, or a command line
    web.toml:9:15: `interpreter`: no program "bun" in PATH
      9 | interpreter = "bun"
        |               ^^^^^ install it, or give its absolute path
    web.toml:10:1: `run`: missing: nothing says what to run
      10 | [[app]]
         | ^^^^^^^ write `run = "server.js"`, or a program, or a command line
    "#);
    let bare = Machine { programs: vec![], ..machine() };
    assert_snapshot!(bare.app("run = \"server.js\"").unwrap_err(), @r#"
    web.toml:2:7: `run`: no node in PATH to run "server.js"
      2 | run = "server.js"
        |       ^^^^^^^^^^^ install Node.js, or set `interpreter`
    "#);
    let nobody = Machine { user: None, ..machine() };
    assert_snapshot!(nobody.app("run = \"server.js\"").unwrap_err(), @r#"
    web.toml:1:1: `user`: missing: nobody started this app by hand, so it must say whom it runs as
      1 | [[app]]
        | ^^^^^^^ write `user = "NAME"`
    "#);
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let said = errors(
        "[[app]]\n\
         run = \"worker.py\"\n\
         memory_max = \"64M\"\n\
         max_memory_restart = \"64M\"\n\
         ready_on = \"message\"\n\
         error_file = \"e\"\n\
         [[app]]\n\
         name = \"b\"\n\
         run = [\"sleep\", \"1\"]\n\
         memory_swap_max = \"1M\"\n\
         interpreter = \"node\"\n\
         start_timeout = 0\n",
    );
    assert_snapshot!(said, @r#"
    web.toml:4:22: `max_memory_restart`: 64.0M is not below `memory_max`, 64.0M: the kernel would always be first
      4 | max_memory_restart = "64M"
        |                      ^^^^^ make it smaller, or leave one of the two out
    web.toml:5:12: `ready_on`: /usr/bin/python3 has no process.send()
      5 | ready_on = "message"
        |            ^^^^^^^^^ "message" is for node and bun; use "notify" or "listen"
    web.toml:6:14: `error_file`: only `log_format = "raw"` has a file for each stream
      6 | error_file = "e"
        |              ^^^ set that, or use `out_file` alone
    web.toml:10:19: `memory_swap_max`: has no meaning without `memory_max`
      10 | memory_swap_max = "1M"
         |                   ^^^^ set `memory_max` too
    web.toml:11:15: `interpreter`: has no meaning here: `run` is not a script file
      11 | interpreter = "node"
         |               ^^^^^^ put the interpreter into `run`
    web.toml:12:17: `start_timeout`: no app is ready at once
      12 | start_timeout = 0
         |                 ^ give it some time, as in "30s", or `ready_on = "instant"`
    "#);
}

#[test]
fn a_file_full_of_mistakes_ends_in_a_count() {
    let many: String = (0..1000).map(|n| format!("unknown{n} = 1\n")).collect();
    let said = errors(&format!("[[app]]\n{many}"));
    assert!(said.ends_with("web.toml: 901 more errors: mend these first"), "{}", &said[said.len() - 100..]);
}

// There and back.

#[track_caller]
pub fn comes_back(spec: &AppSpec) {
    let machine = Machine { user: Some("somebody"), ..machine() };
    let elsewhere = |ctx: &Context<'_>| {
        let nothing = |_: &str| None;
        let ctx = Context { base_dir: "/elsewhere", cpus: 1, lookup: &nothing, ..*ctx };
        let raw = RawApp::new(to_raw(spec));
        let file = parse_toml(Source::new("x", to_toml(spec))).unwrap_or_else(|errors| panic!("{errors}"));
        (resolve(&raw, None, &ctx), resolve_file(&file, &ctx))
    };
    let (wire, file) = machine.with(elsewhere);
    assert_eq!(wire.as_ref(), Ok(spec));
    assert_eq!(file, Ok(vec![spec.clone()]));
    assert_eq!(diff(spec, &wire.unwrap()), []);
}

#[test]
fn a_spec_written_and_read_elsewhere_is_the_same_spec() {
    for keys in [
        "run = \"server.js\"",
        "run = \"cd x && npm start\"",
        "run = \"node server.js\"\nready_on = \"message\"",
        "run = \"server.js\"\ninterpreter_args = [\"-r\", \"/srv/server.js\"]\nstop_signal = \"TERM\"\nshown = \"x\"",
        "run = [\"sleep\", \"1\"]\ngroups = []\nready_on = [\"sleep\", \"0\"]\nmin_uptime = \"1.2345s\"\nmemory_max = \"1.3M\"",
    ] {
        comes_back(&app(keys));
    }
}

#[test]
fn every_key_of_the_table_is_written_where_it_says_something() {
    let spec = app(
        "name = \"a\"\nnamespace = \"web\"\nrun = \"server.js\"\nargs = [\"x\"]\ninterpreter_args = [\"-r\", \"y\"]\n\
         shown = \"s\"\ncwd = \"/\"\nenv_file = \".env\"\npid_file = \"a.pid\"\ninstance_var = \"N\"\nincrement_var = \"A\"\nuser = \"u\"\ngroup = \"g\"\ngroups = [\"h\"]\n\
         capabilities = [\"kill\"]\nno_new_privs = false\ninstances = 2\nmax_surge = 2\nreplace = \"new-first\"\n\
         share_ports = false\nbalance = \"hash\"\nlisten = [\"80\"]\nready_on = \"message\"\nstart_timeout = \"1s\"\ndrain_timeout = \"1s\"\n\
         stop_signal = \"HUP\"\nstop_timeout = \"1s\"\nstop_scope = \"all\"\nrestart = \"never\"\n\
         stop_exit_codes = [3]\nautostart = false\ncron_restart = [\"@daily\", \"0 * * * *\"]\ntime_zone = \"UTC\"\n\
         restart_delay = \"1s\"\nmax_restarts = 1\nmin_uptime = \"2s\"\nmemory_max = \"2G\"\n\
         memory_swap_max = \"1M\"\nmax_memory_restart = \"1G\"\ncpu_max = \"50%\"\ncpu_weight = 50\ntasks_max = 9\n\
         nice = 1\noom_score_adj = 1\numask = \"077\"\nprotect_system = \"full\"\nprotect_home = \"read-only\"\n\
         private_tmp = true\nread_only_paths = [\"data\"]\nread_write_paths = [\"/usr/x\"]\nrestrict_namespaces = true\n\
         seccomp = \"default\"\nlog_format = \"raw\"\nout_file = \"o\"\nerror_file = \"e\"\n\
         log_max_size = \"1M\"\nlog_max_files = 1\nlog_compress = false\nlog_max_total = \"5M\"\nenv = { A = \"1\" }\nrlimits = { core = 0 }",
    );
    let written: Vec<_> = to_raw(&spec).into_iter().map(|(key, _)| key).collect();
    // These stand in place of others.
    let elsewhere = ["profile", "schedule", "exp_backoff_restart_delay"];
    let known: Vec<_> = keys::all().map(|key| key.name).filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(written, known);
    comes_back(&spec);
}

#[test]
fn the_variables_of_an_instance_are_names_that_nothing_else_has() {
    let spec = app("run = \"server.js\"\nincrement_var = \"PORT\"\nenv = { PORT = 3000 }");
    assert_eq!((spec.instance_var.as_str(), spec.increment_var.as_deref()), ("NODE_APP_INSTANCE", Some("PORT")));
    let wrong = "[[app]]\nname = \"a\"\nrun = \"server.js\"\ninstance_var = \"N\"\nincrement_var = \"P\"\nenv = { N = \"1\", P = \"x\" }\n\
                 [[app]]\nname = \"b\"\nrun = \"server.js\"\ninstance_var = \"STEAD_APP\"\nincrement_var = \"A=B\"\n\
                 [[app]]\nname = \"c\"\nrun = \"server.js\"\nincrement_var = \"NODE_APP_INSTANCE\"\n";
    assert_snapshot!(errors(wrong), @r#"
    web.toml:4:16: `instance_var`: N is set in `env`, too
      4 | instance_var = "N"
        |                ^^^ leave one of the two out
    web.toml:5:17: `increment_var`: P is no whole number in `env`, so nothing can be added to it
      5 | increment_var = "P"
        |                 ^^^ give it a number to begin with, as "3000"
    web.toml:10:16: `instance_var`: stead sets "STEAD_APP" itself, to something else
      10 | instance_var = "STEAD_APP"
         |                ^^^^^^^^^^^ use another name
    web.toml:11:17: `increment_var`: "A=B" is not the name of a variable
      11 | increment_var = "A=B"
         |                 ^^^^^ write it as in "WORKER_NUMBER"
    web.toml:15:17: `increment_var`: NODE_APP_INSTANCE holds the number of the instance already (`instance_var`)
      15 | increment_var = "NODE_APP_INSTANCE"
         |                 ^^^^^^^^^^^^^^^^^^^ leave it out
    "#);
}

#[test]
fn a_default_is_not_written() {
    let spec =
        app("run = \"server.js\"\nmemory_max = \"64M\"\nstart_timeout = \"30s\"\nenv = { B = \"2\", A = \"x\\ny\" }");
    assert_snapshot!(to_toml(&spec), @r#"
    [[app]]
    name = "server"
    run = "/srv/server.js"
    interpreter = "/usr/bin/node"
    shown = "server.js"
    cwd = "/srv"
    user = "app"
    memory_max = "64M"

    [app.env]
    A = "x\ny"
    B = "2"
    "#);
}

#[test]
fn a_change_is_named_by_its_key_and_hides_variables() {
    let old = app("run = \"server.js\"\nmemory_max = \"64M\"\nenv = { A = \"hush\", B = \"hush\" }");
    let new = app("run = \"server.js\"\ninstances = 2\nenv = { A = \"hushed\", C = \"hush\" }");
    let lines: Vec<_> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    env.A: changed
    env.B: removed
    env.C: added
    instances: 1 → 2
    memory_max: "64M" → unset
    "#);
}

/// Keys with values of their kind, any of them absent.
fn some_keys() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let choices: [(&str, &[&str]); 41] = [
        ("stop_exit_codes", &["0", "[]", "[255, 3, 3]"]),
        ("exp_backoff_restart_delay", &["\"100ms\"", "\"15s\""]),
        ("autostart", &["true", "false"]),
        ("cron_restart", &["\"@daily\"", "[\"0 0 * * *\", \"* * * * * *\"]"]),
        ("schedule", &["\"*/5  9-17 * * mon-fri\"", "[\"0 0 L * *\"]"]),
        (
            "run",
            &["\"server.js\"", "\"bin/tool\"", "\"sleep 1; x\"", "\"sleep '1'\"", "[\"npm\", \"start\"]", "\"node x\""],
        ),
        ("args", &["[]", "[\"\", \"a b\", \"é\\u0001\"]", "[\"/srv/server.js\"]"]),
        ("name", &["\"a\"", "\"0.x-y_Z\""]),
        ("namespace", &["\"web\""]),
        ("cwd", &["\"/\"", "\"x//./y\"", "\"../z\""]),
        ("env", &["{}", "{ A = \"1\", B = \"\\\"\\n\\t\" }", "{ \"a b.c\" = 5 }"]),
        ("env_file", &["\".env\""]),
        ("pid_file", &["\"/run/a.pid\""]),
        ("group", &["\"g\"", "5"]),
        ("groups", &["[]", "[\"a\", 7]"]),
        ("instances", &["0", "\"max\"", "1000"]),
        ("max_surge", &["3", "\"100%\"", "\"7\""]),
        ("replace", &["\"auto\"", "\"old-first\""]),
        ("share_ports", &["true", "false"]),
        ("balance", &["\"hash\"", "\"off\"", "\"round-robin\""]),
        ("listen", &["8080", "\":80\"", "[\"[::1]:1\", 2]", "[\"x.sock\", \"/run//y\"]"]),
        ("ready_on", &["\"notify\"", "\"http://h/x\"", "\"tcp://[::1]:1\"", "[\"sleep\"]"]),
        ("start_timeout", &["\"0.5ms\"", "\"2.3s\"", "\"1.5d\""]),
        ("stop_signal", &["\"hup\"", "40", "2"]),
        ("stop_scope", &["\"main\"", "\"all\""]),
        ("restart_delay", &["0", "\"1h\""]),
        ("memory_max", &["\"1T\"", "\"1.7G\"", "\"999999999B\""]),
        ("max_memory_restart", &["\"65537B\""]),
        ("cpu_max", &["\"1%\"", "\"250%\""]),
        ("cpu_weight", &["1", "10000"]),
        ("nice", &["-20", "0", "19"]),
        ("umask", &["\"0\"", "\"077\"", "\"0777\""]),
        ("rlimits", &["{ nofile = 5, core = \"infinity\" }", "{ stack = \"1:infinity\" }"]),
        ("capabilities", &["[\"net_raw\"]"]),
        ("protect_system", &["true", "false", "\"full\"", "\"strict\""]),
        ("protect_home", &["true", "\"read-only\"", "\"tmpfs\""]),
        ("private_tmp", &["true", "false"]),
        ("read_only_paths", &["[]", "[\"a//b\", \"/c\"]"]),
        ("read_write_paths", &["[]", "[\"/d\"]"]),
        ("log_format", &["\"raw\"", "\"json\"", "\"cri\""]),
        ("out_file", &["\"o.log\"", "\"/var/o.log\""]),
    ];
    choices
        .into_iter()
        .map(|(key, values)| {
            let value = proptest::sample::select(values.to_vec());
            let value = if key == "run" { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() };
            value.prop_map(move |value| value.map(|value| (key, value)))
        })
        .collect::<Vec<_>>()
        .prop_map(|keys| keys.into_iter().flatten().collect())
}

/// Text that is nearly a config.
fn nearly_toml() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(keys::all().map(|key| key.name).collect::<Vec<_>>());
    let value = prop_oneof![
        Just("\"server.js\"".to_owned()),
        Just("[\"a\", [1, {}], \"é\"]".to_owned()),
        Just("{ a = { env = 1 }, \"\" = 2 }".to_owned()),
        Just("\"\"\"\nmany\r\nlines\"\"\"".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("1979-05-27".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| format!("{x:?}")),
        "\"[ -~]{0,12}\"",
        "\\PC{0,12}",
    ];
    let line = prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => Just("[[app]]".to_owned()),
        1 => Just("[app.env]".to_owned()),
        1 => Just("[app.profile.x.env]".to_owned()),
        1 => Just("[app.rlimits]".to_owned()),
        1 => "\\PC{0,20}",
    ];
    (proptest::collection::vec(line, 0..12), any::<prop::sample::Index>(), any::<char>(), any::<bool>()).prop_map(
        |(lines, at, c, cut)| {
            let mut chars: Vec<char> = format!("[[app]]\n{}\n", lines.join("\n")).chars().collect();
            let at = at.index(chars.len());
            if cut {
                chars.truncate(at)
            } else {
                chars[at] = c
            }
            chars.into_iter().collect()
        },
    )
}

proptest! {
    #[test]
    fn any_spec_written_and_read_elsewhere_is_the_same_spec(keys in some_keys()) {
        let text: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Ok(spec) = machine().app(&text) {
            comes_back(&spec);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), nearly_toml()]) {
        let _ = machine().load(&text).map_err(|errors| errors.to_string());
        let _ = Source::from_bytes("x", text.into_bytes()).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = Source::from_bytes("x", bytes) {
            let _ = machine().with(|ctx| load(source, ctx)).map_err(|errors| errors.to_string());
        }
    }

    #[test]
    fn no_value_of_any_key_makes_it_panic(key in "[a-z_]{0,12}", text in any::<String>(), n in any::<i64>()) {
        for key in keys::all().map(|key| key.name).chain([key.as_str()]) {
            for value in [Value::Str(text.clone()), Value::Int(n), Value::texts([text.clone()]), Value::table([(text.clone(), Value::Int(n))])] {
                let raw = RawApp::new([("run".into(), "server.js".into()), (key.into(), value)]);
                let _ = machine().with(|ctx| resolve(&raw, None, ctx)).map_err(|errors| errors.to_string());
            }
        }
    }
}

/// A host without users or files of its own.
struct Bare;

impl Host for Bare {
    fn program(&self, name: &str, identity: &Identity) -> Option<String> {
        Some(format!("/home/{}/bin/{name}", identity.user))
    }

    fn missing(&self, named: &Named<'_>) -> Vec<Missing> {
        let fault = |key, path: &str| Missing { key, problem: format!("no {path}"), mend: "make it" };
        [("cwd", named.cwd), ("env_file", named.env_file), ("out_file", named.out_file)]
            .into_iter()
            .filter_map(|(key, path)| Some(fault(key, path?)))
            .collect()
    }
}

#[test]
fn what_the_host_lacks_is_told_with_what_is_wrong_in_the_text() {
    let text = "[[app]]\nname = \"a\"\nenv_file = \"x.env\"\nmemory_max = \"64Q\"\nout_file = 3\n\
                [[app]]\nname = \"a\"\nrun = \"server.js\"\ncwd = \"/nowhere\"\n";
    let errors = machine().with(|ctx| host::load(Source::new("web.toml", text), ctx, &Bare)).unwrap_err().to_string();
    for said in ["web.toml:3:12: `env_file`: no /", "web.toml:4:14: `memory_max`", "web.toml:9:7: `cwd`: no /nowhere"] {
        assert!(errors.contains(said), "{said} is missing:\n{errors}");
    }
    assert!(errors.contains("two apps are called \"a\", first in line 2"), "{errors}");
    assert!(!errors.contains("no 3"), "a value that is wrong already is not looked for:\n{errors}");
}

#[test]
fn variables_that_stead_sets_are_nobody_elses() {
    for name in ["STEAD_APP", "STEAD_INSTANCE", "NODE_APP_INSTANCE", "NOTIFY_SOCKET", "NODE_CHANNEL_FD", "LISTEN_FDS"] {
        let text = format!("[[app]]\nrun = \"server.js\"\nenv = {{ {name} = \"secret\" }}\n");
        let error = errors(&text);
        assert!(error.contains(&format!("`env.{name}`: stead sets this one itself")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn an_app_is_given_sockets_by_port_by_address_and_by_path() {
    let listen = |value: &str| app(&format!("run = \"server.js\"\nlisten = {value}")).listen;
    let list = |texts: &[&str]| texts.iter().map(|text| Listen::parse(text).unwrap()).collect::<Vec<_>>();
    assert_eq!(listen("8080"), list(&["8080"]));
    assert_eq!(listen("\":8080\""), list(&["8080"]));
    let several = "[\"127.0.0.1:80\", \"[::1]:80\", \"/run/api.sock\", \"run/./b.sock\"]";
    assert_eq!(listen(several), list(&["127.0.0.1:80", "[::1]:80", "/run/api.sock", "/srv/run/b.sock"]));
    assert_eq!(listen("[]"), []);
    assert_eq!(app("run = \"server.js\"\nbalance = \"off\"").balance, Balance::Off);
}

#[test]
fn addresses_that_cannot_be_are_refused_each_at_its_place() {
    assert_snapshot!(errors(
        "[[app]]\nrun = \"server.js\"\nbalance = \"least\"\nlisten = [\"localhost:80\", \"8080\", \"127.0.0.1:8080\", 8080, \"../x.sock\", true]\n\
         [[app]]\nrun = \"server.js\"\nbalance = \"random\"\nlisten = false\n"
    ), @r#"
    web.toml:3:11: `balance`: cannot be "least": stead does not count the connections of each instance
      3 | balance = "least"
        |           ^^^^^^^ use "round-robin", "hash" or "off"
    web.toml:4:11: `listen`: "localhost" is not an address
      4 | listen = ["localhost:80", "8080", "127.0.0.1:8080", 8080, "../x.sock", true]
        |           ^^^^^^^^^^^^^^ names are not looked up: write the address, as "127.0.0.1:8080"
    web.toml:4:35: `listen`: "127.0.0.1:8080" and "8080" would take the same connections
      4 | listen = ["localhost:80", "8080", "127.0.0.1:8080", 8080, "../x.sock", true]
        |                                   ^^^^^^^^^^^^^^^^ leave one of them out
    web.toml:4:53: `listen`: "8080" is given twice
      4 | listen = ["localhost:80", "8080", "127.0.0.1:8080", 8080, "../x.sock", true]
        |                                                     ^^^^ leave one of them out
    web.toml:4:59: `listen`: "/srv/../x.sock" has ".." in it
      4 | listen = ["localhost:80", "8080", "127.0.0.1:8080", 8080, "../x.sock", true]
        |                                                           ^^^^^^^^^^^ write the path without it
    web.toml:4:72: `listen`: a list of addresses cannot hold a boolean
      4 | listen = ["localhost:80", "8080", "127.0.0.1:8080", 8080, "../x.sock", true]
        |                                                                        ^^^^ put it in quotes
    web.toml:7:11: `balance`: unknown value "random"
      7 | balance = "random"
        |           ^^^^^^^^ use one of "round-robin", "hash", "off"
    web.toml:8:10: `listen`: cannot be a boolean
      8 | listen = false
        |          ^^^^^ use a list of ports, addresses and paths
    "#);
}

#[test]
fn being_ready_by_a_passed_socket_is_no_news() {
    assert_snapshot!(errors(
        "[[app]]\nrun = \"server.js\"\nlisten = 8080\nready_on = \"listen\"\n\
         [[app]]\nrun = \"worker.py\"\nlisten = 8081\nready_on = \"tcp://127.0.0.1:8081\"\n"
    ), @r#"
    web.toml:4:12: `ready_on`: the app gets its sockets from stead (`listen`), so it would never be seen to begin to listen
      4 | ready_on = "listen"
        |            ^^^^^^^^ use "auto", "notify" or an http:// URL that it answers
    web.toml:8:12: `ready_on`: stead listens there before the app runs (`listen`), so it would be ready at once
      8 | ready_on = "tcp://127.0.0.1:8081"
        |            ^^^^^^^^^^^^^^^^^^^^^^ use "auto", "notify" or an http:// URL that it answers
    "#);
    app("run = \"server.js\"\nlisten = 8080\nready_on = \"tcp://127.0.0.1:9000\"");
}

#[test]
fn two_apps_of_a_file_cannot_have_one_address() {
    assert_snapshot!(errors(
        "[[app]]\nrun = \"server.js\"\nlisten = 8080\n[[app]]\nrun = \"worker.py\"\nlisten = [\"127.0.0.1:8080\"]\n"
    ), @r#"
    web.toml:6:10: `listen`: "127.0.0.1:8080" is what app "server" listens on
      6 | listen = ["127.0.0.1:8080"]
        |          ^^^^^^^^^^^^^^^^^^ give one of them another address
    "#);
}

#[test]
fn low_ports_are_given_by_root_only() {
    let owner = Machine { authority: Authority::Owner, ..machine() };
    let keys = |port: u16| format!("run = \"server.js\"\nlisten = [\"/run/x.sock\", \"127.0.0.1:{port}\"]");
    assert_snapshot!(owner.app(&keys(80)).unwrap_err(), @r#"
    web.toml:3:10: `listen`: only root may set port 80, which is below 1024
      3 | listen = ["/run/x.sock", "127.0.0.1:80"]
        |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ choose a higher one, or have root start the app
    "#);
    owner.app(&keys(1024)).unwrap();
    app(&keys(80));
}

#[test]
fn an_app_is_kept_from_what_its_keys_say() {
    assert_eq!(app("run = \"server.js\"").sandbox, Sandbox::default());
    let spec = app("run = \"server.js\"\nprotect_system = \"strict\"\nprotect_home = true\nprivate_tmp = true\n\
                    read_only_paths = [\"conf\", \"/opt/./x\"]\nread_write_paths = [\"data\"]\n\
                    restrict_namespaces = true\nseccomp = \"default\"");
    let expected = Sandbox {
        protect_system: ProtectSystem::Strict,
        protect_home: ProtectHome::Hidden,
        private_tmp: true,
        read_only_paths: vec!["/srv/conf".into(), "/opt/x".into()],
        read_write_paths: vec!["/srv/data".into()],
        restrict_namespaces: true,
        seccomp: Seccomp::Default,
    };
    assert_eq!(spec.sandbox, expected);
    let system = |value: &str| app(&format!("run = \"server.js\"\nprotect_system = {value}")).sandbox.protect_system;
    assert_eq!((system("true"), system("\"full\"")), (ProtectSystem::Programs, ProtectSystem::Full));
}

#[test]
fn everybody_may_keep_an_app_of_their_own_from_more() {
    let owner = Machine { authority: Authority::Owner, ..machine() };
    let keys = "run = \"server.js\"\nprotect_system = \"strict\"\nprotect_home = \"tmpfs\"\nprivate_tmp = true\n\
                read_only_paths = [\"/a\"]\nread_write_paths = [\"/b\"]\nrestrict_namespaces = true\nseccomp = \"default\"";
    owner.app(keys).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn what_is_no_sandbox_is_refused_with_what_would_be_one() {
    assert_snapshot!(errors(
        "[[app]]\nrun = \"server.js\"\nprotect_system = \"ful\"\nprotect_home = \"true\"\nprivate_tmp = \"yes\"\n\
         read_only_paths = \"/a\"\nread_write_paths = [\"a/../b\", \"~/c\", 5]\nrestrict_namespaces = [\"net\"]\nseccomp = true\n"
    ), @r#"
    web.toml:3:18: `protect_system`: unknown value "ful"
      3 | protect_system = "ful"
        |                  ^^^^^ use one of true, false, "full", "strict"
    web.toml:4:16: `protect_home`: unknown value "true"
      4 | protect_home = "true"
        |                ^^^^^^ use one of true, false, "read-only", "tmpfs"
    web.toml:5:15: `private_tmp`: cannot be text
      5 | private_tmp = "yes"
        |               ^^^^^ use true or false
    web.toml:6:19: `read_only_paths`: cannot be text
      6 | read_only_paths = "/a"
        |                   ^^^^ use a list of paths
    web.toml:7:21: `read_write_paths`: "/srv/a/../b" has ".." in it
      7 | read_write_paths = ["a/../b", "~/c", 5]
        |                     ^^^^^^^^ write the path without it
    web.toml:7:31: `read_write_paths`: "~" has no meaning here
      7 | read_write_paths = ["a/../b", "~/c", 5]
        |                               ^^^^^ write the whole path
    web.toml:7:38: `read_write_paths`: a list of paths cannot hold a number
      7 | read_write_paths = ["a/../b", "~/c", 5]
        |                                      ^ put it in quotes
    web.toml:8:23: `restrict_namespaces`: cannot be a list
      8 | restrict_namespaces = ["net"]
        |                       ^^^^^^^ use true or false
    web.toml:9:11: `seccomp`: cannot be a boolean
      9 | seccomp = true
        |           ^^^^ use one of "none", "default"
    "#);
}

#[test]
fn paths_that_the_sandbox_itself_takes_away_are_told_before_anything_starts() {
    assert_snapshot!(errors(
        "[[app]]\nname = \"a\"\nrun = \"server.js\"\ncwd = \"/home/app\"\nprotect_home = true\n\
         [[app]]\nname = \"b\"\nrun = \"sleep\"\nprotect_home = \"tmpfs\"\nread_write_paths = [\"/root/x\"]\nread_only_paths = [\"/\"]\n\
         [[app]]\nname = \"c\"\nrun = \"sleep\"\nprivate_tmp = true\nread_only_paths = [\"/tmp/x\"]\n\
         [[app]]\nname = \"d\"\nrun = \"sleep\"\nread_write_paths = [\"/x\"]\n\
         [[app]]\nname = \"e\"\nrun = \"sleep\"\nprotect_system = \"strict\"\nread_write_paths = [\"/\", \"/a\"]\nread_only_paths = [\"/a\"]\n"
    ), @r#"
    web.toml:5:16: `protect_home`: hides /home, and `cwd` is there: /home/app
      5 | protect_home = true
        |                ^^^^ use "read-only", or keep the app elsewhere
    web.toml:10:20: `read_write_paths`: "/root/x" is not there: `protect_home` hides /root
      10 | read_write_paths = ["/root/x"]
         |                    ^^^^^^^^^^^ leave it out, or do not hide it
    web.toml:16:19: `read_only_paths`: "/tmp/x" is not there: `private_tmp` hides /tmp
      16 | read_only_paths = ["/tmp/x"]
         |                   ^^^^^^^^^^ leave it out, or do not hide it
    web.toml:20:20: `read_write_paths`: nothing is read-only without `protect_system` or its like
      20 | read_write_paths = ["/x"]
         |                    ^^^^^^ set one of them too, or leave this out
    web.toml:25:20: `read_write_paths`: nothing would be read-only with "/" in it
      25 | read_write_paths = ["/", "/a"]
         |                    ^^^^^^^^^^^ name what the app writes to
    web.toml:26:19: `read_only_paths`: "/a" is in `read_write_paths`, too
      26 | read_only_paths = ["/a"]
         |                   ^^^^^^ leave it out of one of them
    "#);
}
