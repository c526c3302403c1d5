//! Configs of PM2 and FinalPM against what PM2 7 and FinalPM 2.24 themselves made of them, key by key.
//! tests/ecosystem has the cases, what was recorded of each (`record.js`), and the program that was started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value as Json, json};
use stead::config::ecosystem::reference::compatibility;
use stead::config::ecosystem::table::{self, FINALPM, FINALPM_TOP, Means, PM2, PM2_TOP, Row};
use stead::config::ecosystem::{Found, Ground, Imported, Tool, dump, import, legal_name};
use stead::config::write::app_toml;
use stead::config::{Authority, Context, Errors, File, Source, keys, load, resolve_file};
use stead::model::signal::Signal;
use stead::model::spec::{AppSpec, LogFormat, ReadyOn, Replace, Restart, StopScope};

fn read(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ecosystem").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The machine that it was recorded on: two CPUs, and the directory of the case.
fn look(path: &str) -> Found {
    let path = &*path.replace("/sub/..", "");
    let places = ["/dir", "/dir/sub", "/dir/with space", "/dir/package"];
    match path.strip_prefix("/usr/bin/") {
        Some(program) if PROGRAMS.contains(&program) => return Found::Program,
        _ => {}
    }
    if path == "/home/somebody/.nvm/versions/node/v18.1.0/bin/node" {
        return Found::Program;
    }
    match path.rsplit_once('/') {
        _ if places.contains(&path) => Found::Directory,
        Some((place, "probe.js" | "probe.py" | "www")) if places.contains(&place) => Found::NodeText,
        Some(("/dir", "run")) => Found::Program,
        // What stands in the dump.
        Some(("/dir", "gateway.js" | "resize.py" | "report.sh")) => Found::NodeText,
        Some(("/dir/package", "index.js")) => Found::NodeText,
        _ => Found::Nothing,
    }
}

const PROGRAMS: [&str; 7] = ["node", "python3", "bash", "sh", "sleep", "env", "npm"];

fn program(name: &str) -> Option<String> {
    PROGRAMS.contains(&name).then(|| format!("/usr/bin/{name}"))
}

/// What stood in the environment of the recorder, and what stands in everybody's.
fn environment() -> BTreeMap<String, String> {
    [("T_INHERITED", "yes"), ("T_SECRET_KEY", "no"), ("TERM", "xterm"), ("SSH_TTY", "/dev/pts/1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn convert(
    tool: Tool,
    config: &Json,
    profile: Option<&str>,
    environment: &BTreeMap<String, String>,
) -> Result<Imported, Errors> {
    let ground = Ground {
        file: "ecosystem.config.js",
        here: "/dir",
        beside: "/dir",
        home: "/home/somebody",
        cpus: 2,
        profile,
        environment,
        look: &look,
        program: &program,
    };
    import(tool, config, &ground)
}

fn with_context<T>(profile: Option<&str>, ask: impl FnOnce(&Context<'_>) -> T) -> T {
    ask(&Context {
        authority: Authority::Root,
        default_user: Some("somebody"),
        base_dir: "/dir",
        cpus: 2,
        unprivileged_port_start: 1024,
        profile,
        lookup: &program,
        is_file: &|path| !matches!(look(path), Found::Nothing | Found::Directory),
    })
}

fn specs_of(imported: &Imported, profile: Option<&str>) -> Result<Vec<AppSpec>, Errors> {
    let apps = imported.apps.iter().map(|app| app.raw.clone()).collect();
    let file = File { source: Source::new("ecosystem.config.js", ""), apps };
    with_context(profile, |ctx| resolve_file(&file, ctx))
        .map_err(|errors| imported.in_its_words(errors, "ecosystem.config.js"))
}

fn specs(tool: Tool, config: &Json, profile: Option<&str>) -> Result<(Imported, Vec<AppSpec>), Errors> {
    let imported = convert(tool, config, profile, &environment())?;
    let specs = specs_of(&imported, profile)?;
    Ok((imported, specs))
}

fn pm2(app: Json) -> Result<(Imported, Vec<AppSpec>), Errors> {
    specs(Tool::Pm2, &json!({ "apps": [app] }), None)
}

/// What is said of one wrong app.
#[track_caller]
fn errors(app: Json) -> String {
    pm2(app).expect_err("a mistake was taken").to_string()
}

/// One case, and what PM2 or FinalPM made of it.
struct Case {
    name: String,
    tool: Tool,
    config: Json,
    profile: Option<String>,
    only: Option<String>,
    recorded: Json,
}

fn cases() -> Vec<Case> {
    let recorded = read("recorded.json");
    let of = |case: &Json| {
        let name = case["name"].as_str().unwrap().to_owned();
        let flag = |flag: &str| {
            let args: Vec<&str> = case["args"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            args.iter().position(|arg| *arg == flag).map(|at| args[at + 1].to_owned())
        };
        Case {
            recorded: recorded.get(&name).unwrap_or_else(|| panic!("{name} is not recorded: see record.js")).clone(),
            tool: if case["tool"] == "finalpm" { Tool::FinalPm } else { Tool::Pm2 },
            config: case["config"].clone(),
            profile: flag("--env"),
            only: flag("--only"),
            name,
        }
    };
    read("cases.json").as_array().unwrap().iter().map(of).collect()
}

/// Where we mean to do otherwise: PM2 refuses it and stead does not, or the other way round.
const TAKEN_HERE: [&str; 0] = [];
const REFUSED_HERE: [&str; 1] = ["a serve script"];

#[test]
fn every_case_runs_as_pm2_and_finalpm_ran_it() {
    for case in cases() {
        let refused = case.recorded.get("refused").is_some();
        let expected =
            (refused || REFUSED_HERE.contains(&case.name.as_str())) && !TAKEN_HERE.contains(&case.name.as_str());
        let done = specs(case.tool, &case.config, case.profile.as_deref());
        let (imported, specs) = match done {
            Err(_) if expected => continue,
            Err(errors) => panic!("{}: {errors}", case.name),
            Ok(_) if expected => panic!("{}: should be refused: {}", case.name, case.recorded["refused"]),
            Ok(done) => done,
        };
        let processes = case.recorded["processes"].as_array().unwrap();
        let mut seen = 0;
        for (app, spec) in imported.apps.iter().zip(&specs) {
            if case.only.as_ref().is_some_and(|only| !app.names.contains(only)) {
                continue;
            }
            let own: Vec<&Json> = processes
                .iter()
                .filter(|process| {
                    process["pm2"].is_null() && specs.len() == 1 || process["pm2"]["name"] == app.names[0]
                })
                .collect();
            if case.tool == Tool::FinalPm && specs.len() > 1 {
                seen += 1;
                same_process(&case.name, spec, &processes[seen - 1]["probe"]);
                continue;
            }
            seen += own.len();
            assert_eq!(spec.instances as usize, own.len(), "{}: instances", case.name);
            assert_eq!(spec.name.as_str(), legal_name(&app.names[0]), "{}", case.name);
            for process in own {
                same_process(&case.name, spec, &process["probe"]);
                same_settings(&case.name, spec, &process["pm2"], imported.warning.as_deref(), &app.raw);
            }
        }
        assert_eq!(seen, processes.len(), "{}: a process that nothing here stands for", case.name);
    }
}

/// Arguments, directory and variables, as the program saw them.
fn same_process(case: &str, spec: &AppSpec, probe: &Json) {
    if probe.is_null() {
        return;
    }
    let texts =
        |value: &Json| value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(json!(spec.cwd), probe["cwd"], "{case}: cwd");
    let args = &spec.command.args;
    let script = args.iter().position(|arg| {
        arg.contains("probe.js") || arg.ends_with("www") || arg.contains("package") || arg.ends_with(".py")
    });
    let script = script.unwrap_or_else(|| panic!("{case}: no script in {args:?}"));
    // A shell has them in its line.
    if !args.iter().any(|arg| arg == "-c") {
        assert_eq!(args[script + 1..], texts(&probe["args"]), "{case}: args");
        if spec.runs_node() {
            let ours: Vec<_> = args[..script].iter().filter(|arg| *arg != "--enable-source-maps").cloned().collect();
            assert_eq!(ours, texts(&probe["options"]), "{case}: options of the interpreter");
        }
    }
    let number = probe["number"].as_str().or_else(|| probe["env"]["T_NUMBER"].as_str()).unwrap_or("0");
    let mut env = spec.env.clone();
    if spec.instance_var.starts_with("T_") {
        env.insert(spec.instance_var.clone(), number.to_owned());
    }
    if let Some(counted) = &spec.increment_var {
        let first: u32 = env.get(counted).map_or(0, |first| first.parse().unwrap());
        env.insert(counted.clone(), (first + number.parse::<u32>().unwrap()).to_string());
    }
    match spec.instance_var.as_str() {
        "NODE_APP_INSTANCE" | "FINAL_PM_INSTANCE_NUMBER" => {
            assert!(!probe["number"].is_null() || case.contains("unique"), "{case}")
        }
        _ => assert!(probe["number"].is_null(), "{case}: its number has another name"),
    }
    let mut theirs: BTreeMap<String, String> =
        probe["env"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    // What was decided otherwise, and said in the table.
    match case {
        "filter_env true" => theirs.clear(),
        "env_production" => drop(theirs.insert("T_OBJECT".into(), "{\"b\":2}".into())),
        "a command line for a shell" => drop(theirs.remove("T_SHELL")),
        _ => {}
    }
    // The probe's own, which FinalPM's case had to repeat.
    env.remove("PROBE_DIR");
    assert_eq!(env, theirs, "{case}: variables");
}

/// What PM2 kept of each key, and the key of ours.
fn same_settings(case: &str, spec: &AppSpec, kept: &Json, warning: Option<&str>, raw: &stead::config::RawApp) {
    if kept.is_null() {
        return;
    }
    let number = |key: &str| kept[key].as_f64().map(|n| n as u64);
    let millis = |span: std::time::Duration| span.as_millis() as u64;
    assert_eq!(kept["namespace"], json!(spec.namespace), "{case}");
    assert_eq!(number("kill_timeout").unwrap_or(10_000), millis(spec.stop_timeout), "{case}: kill_timeout");
    assert_eq!(number("listen_timeout").unwrap_or(0).max(30_000), millis(spec.start_timeout), "{case}: listen_timeout");
    assert_eq!(number("min_uptime").unwrap_or(1000), millis(spec.min_uptime), "{case}: min_uptime");
    assert_eq!(number("max_restarts").unwrap_or(16), u64::from(spec.max_restarts), "{case}: max_restarts");
    let delay = number("restart_delay").filter(|_| number("exp_backoff_restart_delay").is_none());
    assert_eq!(delay, spec.restart_delay.map(millis), "{case}: restart_delay");
    assert_eq!(number("max_memory_restart"), spec.limits.max_memory_restart.map(|bytes| bytes.0), "{case}");
    let restart = if kept["autorestart"] == true { Restart::Always } else { Restart::Never };
    assert_eq!(restart, spec.restart, "{case}: autorestart");
    let scope = if kept["treekill"] == true { StopScope::All } else { StopScope::Main };
    assert_eq!(scope, spec.stop_scope, "{case}: treekill");
    let ready = match (kept["wait_ready"] == true, kept["autorestart"] == true) {
        (true, _) => ReadyOn::Message,
        (false, true) => ReadyOn::Auto,
        (false, false) => ReadyOn::Instant,
    };
    assert_eq!(ready, spec.ready_on, "{case}: wait_ready");
    let replace = if kept["exec_mode"] == "cluster_mode" { Replace::Auto } else { Replace::ByPort };
    assert_eq!(replace, spec.replace, "{case}: exec_mode");
    assert_eq!(spec.stop_signal, Signal::INT, "{case}: PM2 knows one signal");
    for (key, ours) in [("pm_out_log_path", &spec.log.out_file), ("pm_err_log_path", &spec.log.error_file)] {
        let path = kept[key].as_str().unwrap();
        match path {
            "/dev/null" => assert_eq!(spec.log.format, LogFormat::None, "{case}: {key}"),
            _ if path.starts_with("/home/somebody/.pm2/") => assert_eq!(*ours, None, "{case}: {key}"),
            _ => {
                assert_eq!(ours.as_deref(), Some(path), "{case}: {key}");
                assert!(matches!(spec.log.format, LogFormat::Raw | LogFormat::Json), "{case}");
            }
        }
    }
    if kept["log_type"] == "json" {
        assert_eq!(spec.log.format, LogFormat::Json, "{case}");
    }
    if kept.get("uid").is_some() {
        assert_eq!(
            (spec.identity.user.as_str(), spec.identity.group.as_deref()),
            ("nobody", Some("nogroup")),
            "{case}"
        );
    }
    let interpreter = kept["exec_interpreter"].as_str().unwrap().rsplit('/').next().unwrap();
    let ours = spec.command.program.rsplit('/').next().unwrap();
    assert!(interpreter == "none" || ours.starts_with(interpreter), "{case}: {interpreter} runs it there, {ours} here");
    if interpreter != "none" {
        let path = kept["pm_exec_path"].as_str().unwrap();
        assert!(spec.command.args.iter().any(|arg| arg == path), "{case}: {path} is not run");
    }
    // Keys that this stead may not have yet are set, or are named with the reason.
    let stopped = kept["status"] == "stopped";
    let said = [
        ("cron_restart", kept.get("cron_restart").is_some_and(Json::is_string)),
        ("watch", kept.get("watch").is_some_and(|watch| *watch != false)),
        ("ignore_watch", kept.get("ignore_watch").is_some()),
        ("watch_delay", kept.get("watch_delay").is_some()),
        ("exp_backoff_restart_delay", kept.get("exp_backoff_restart_delay").is_some()),
        ("stop_exit_codes", kept.get("stop_exit_codes").is_some()),
        ("shutdown_with_message", kept["shutdown_with_message"] == true),
        ("autostart", stopped),
    ];
    for (key, said) in said.into_iter().filter(|(_, said)| *said) {
        assert!(said);
        match keys::find(key) {
            Some(_) => assert!(raw.get(key).is_some(), "{case}: {key} is not set"),
            None => assert!(
                warning.is_some_and(|text| text.contains(&format!("{key}: "))),
                "{case}: {key} is passed over in silence"
            ),
        }
    }
}

#[test]
fn a_file_that_was_imported_gives_the_same_specs() {
    for case in cases() {
        let nothing = BTreeMap::new();
        for profile in [None, case.profile.as_deref()] {
            let Ok(imported) = convert(case.tool, &case.config, profile, &nothing) else { continue };
            let Ok(expected) = specs_of(&imported, profile) else { continue };
            let text: String = imported.apps.iter().map(|app| app_toml(&app.raw) + "\n").collect();
            let again = with_context(profile, |ctx| load(Source::new("stead.toml", text.clone()), ctx));
            assert_eq!(
                again.unwrap_or_else(|e| panic!("{}: {e}\n{text}", case.name)),
                expected,
                "{}\n{text}",
                case.name
            );
        }
    }
}

/// Every key of the cases, wherever it stands.
fn keys_of(value: &Json, out: &mut BTreeSet<String>) {
    match value {
        Json::Object(object) => {
            for (key, value) in object {
                out.insert(key.clone());
                keys_of(value, out);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| keys_of(item, out)),
        _ => {}
    }
}

#[test]
fn every_row_of_the_table_has_a_case() {
    for (tool, rows) in [(Tool::Pm2, [PM2, PM2_TOP]), (Tool::FinalPm, [FINALPM, FINALPM_TOP])] {
        let mut given = BTreeSet::new();
        cases().iter().filter(|case| case.tool == tool).for_each(|case| keys_of(&case.config, &mut given));
        let covered = |row: &Row| {
            row.name == "env_<name>"
                || given.iter().any(|key| {
                    table::find(rows[0], key).or(table::find(rows[1], key)).is_some_and(|r| r.name == row.name)
                })
        };
        // FinalPM's own, which no user writes.
        let rest = ["builtin", "config-path", "type", "npm-global-config", "socket"];
        let missing: Vec<_> = rows
            .into_iter()
            .flatten()
            .filter(|row| !covered(row))
            .map(|row| row.name)
            .filter(|name| !rest.contains(name))
            .collect();
        assert!(missing.is_empty(), "no case has {missing:?}");
    }
}

#[test]
fn every_key_that_pm2_knows_has_a_row() {
    for key in read("pm2-keys.json").as_array().unwrap() {
        let key = key.as_str().unwrap();
        assert!(table::find(PM2, key).is_some(), "{key} is not in the table");
    }
    for key in read("finalpm-keys.json").as_array().unwrap() {
        let key = key.as_str().unwrap();
        assert!(table::find(FINALPM, key).or(table::find(FINALPM_TOP, key)).is_some(), "{key} is not in the table");
    }
}

#[test]
fn one_warning_names_everything_without_an_effect_and_why() {
    let case = cases().into_iter().find(|case| case.name == "keys of the agent and the like").unwrap();
    let (imported, _) = specs(Tool::Pm2, &case.config, None).unwrap();
    let warning = imported.warning.unwrap();
    for row in PM2.iter().filter(|row| row.means == Means::Ignored) {
        assert!(warning.contains(row.note), "{} is not named:\n{warning}", row.name);
    }
    assert_snapshot!(warning, @r#"
    ecosystem.config.js: what has no effect here:
      automation: stead puts no agent into your app
      disable_trace: stead puts no agent into your app
      force: a start changes the app of that name, or starts it
      install_url: it is PM2's own, for its modules
      io: stead puts no agent into your app
      kill_retry_time: nothing is polled: the kernel tells of an end at once
      log_file: stead's own log holds both streams in order: stead logs
      max_memory_restrat: PM2 knows no such key, either; did you mean `max_memory_restart`?
      name_prefix: it has none in PM2's files either
      pmx: stead puts no agent into your app
      post_update: there is no pull: deploy, then run stead start
      username: PM2 only notes it; `user` says whom an app runs as
      vizion: stead does not read your repository
      watch_options: the kernel tells of changes, and there is nothing to tune
      windowsHide: there are no windows here
      write: stead import writes a file
    "#);
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_file() {
    let script = |key: &str, value: Json| json!({ "name": "api", "script": "probe.js", key: value });
    assert_snapshot!(errors(script("kill_timeout", json!("abc"))), @r#"ecosystem.config.js: api: `kill_timeout`: cannot be "abc": use a number of milliseconds"#);
    assert_snapshot!(errors(script("max_memory_restart", json!("10Q"))), @r#"ecosystem.config.js: api: `max_memory_restart`: unknown unit "Q" in "10Q": use B, K, M, G or T, as in "64M""#);
    assert_snapshot!(errors(script("maxMemoryRestart", json!("1K"))), @"ecosystem.config.js: api: `maxMemoryRestart`: less than any program needs: give at least 64K, or leave the key out for no limit");
    assert_snapshot!(errors(script("instances", json!("many"))), @r#"ecosystem.config.js: api: `instances`: cannot be "many": use a number of instances, or "max""#);
    assert_snapshot!(errors(script("instances", json!(5000))), @r#"ecosystem.config.js: api: `instances`: 5000 is out of range: use a whole number from 1 to 1000, or "max""#);
    assert_snapshot!(errors(script("exec_mode", json!("thread"))), @r#"ecosystem.config.js: api: `exec_mode`: unknown value "thread": use "cluster" or "fork""#);
    assert_snapshot!(errors(script("env", json!("A=1"))), @r#"ecosystem.config.js: api: `env`: cannot be "…": use an object of variables"#);
    assert_snapshot!(errors(script("autorestart", json!("false"))), @r#"ecosystem.config.js: api: `autorestart`: cannot be "false": use true or false"#);
    assert_snapshot!(errors(script("args", json!({ "a": 1 }))), @"ecosystem.config.js: api: `args`: cannot be an object: use text or a list of texts");
    assert_snapshot!(errors(script("interpreter", json!("no-such"))), @r#"ecosystem.config.js: api: `interpreter`: no program "no-such" in PATH: install it, or give its absolute path"#);
    assert_snapshot!(errors(script("interpreter", json!("node@20.9.9"))), @"ecosystem.config.js: api: `interpreter`: nvm has no node@20.9.9: there is no /home/somebody/.nvm/versions/node/v20.9.9/bin/node: run: nvm install 20.9.9");
    assert_snapshot!(errors(script("increment_var", json!("A B"))), @r#"ecosystem.config.js: api: `increment_var`: "A B" is not the name of a variable: write it as in "WORKER_NUMBER""#);
    assert_snapshot!(errors(script("cwd", json!("/nowhere"))), @"ecosystem.config.js: api: `script`: no such file: /nowhere/probe.js: a relative path is taken from `cwd`");
    assert_snapshot!(errors(json!({ "name": "api" })), @r#"ecosystem.config.js: api: `script`: missing: nothing says what to run: write `script: "server.js"`"#);
    assert_snapshot!(errors(json!({ "script": "nosuch.js" })), @"ecosystem.config.js: nosuch: `script`: no such file: /dir/nosuch.js: a relative path is taken from /dir");
    assert_snapshot!(errors(json!({ "script": { "$function": "f" } })), @"ecosystem.config.js: app 1: `script`: cannot be a function: use the path of a script, or a program");
    assert_snapshot!(errors(json!("probe.js")), @r#"ecosystem.config.js: `apps`: an app cannot be "probe.js": write each as an object"#);
    let several =
        json!({ "apps": [script("kill_timeout", json!("abc")), { "script": "x.js", "name": "b", "min_uptime": [] }] });
    assert_snapshot!(specs(Tool::Pm2, &several, None).unwrap_err().to_string(), @r#"
    ecosystem.config.js: api: `kill_timeout`: cannot be "abc": use a number of milliseconds
    ecosystem.config.js: b: `script`: no such file: /dir/x.js: a relative path is taken from /dir
    ecosystem.config.js: b: `min_uptime`: cannot be a list: use a number of milliseconds, or "5s", "1m", "1h"
    "#);
}

#[test]
fn what_holds_no_apps_says_how_apps_are_written() {
    let refused = |config: Json| specs(Tool::Pm2, &config, None).unwrap_err().to_string();
    let no_apps =
        "ecosystem.config.js: no apps in it: export them: module.exports = { apps: [{ script: \"server.js\" }] }";
    for config in [json!(null), json!({}), json!([]), json!({ "apps": [] }), json!("x"), json!({ "deploy": {} })] {
        assert_eq!(refused(config.clone()), no_apps, "{config}");
    }
    assert_snapshot!(refused(json!({ "apps": [{ "script": "probe.js" }], "static": [{ "path": "." }] })), @"ecosystem.config.js: `static`: is not for stead: stead runs no file server of its own out of a file: write an app that is one");
}

#[test]
fn a_name_that_two_apps_have_is_refused() {
    let apps = json!([{ "script": "probe.js", "name": "a b" }, { "script": "probe.js", "name": "a-b" }]);
    assert_snapshot!(specs(Tool::Pm2, &apps, None).unwrap_err().to_string(), @r#"ecosystem.config.js: `name`: two apps are called "a-b": give one of them another `name`"#);
}

#[test]
fn an_environment_that_stands_nowhere_is_refused() {
    let config = json!({ "apps": [{ "script": "probe.js", "env_production": {} }] });
    assert_snapshot!(specs(Tool::Pm2, &config, Some("prodution")).unwrap_err().to_string(), @r#"ecosystem.config.js: no app has variables for "prodution" (`env_prodution`): did you mean "production"?"#);
    assert_snapshot!(specs(Tool::Pm2, &config, Some("x")).unwrap_err().to_string(), @r#"ecosystem.config.js: no app has variables for "x" (`env_x`): write `env_x: { ... }` in an app, or leave --env out"#);
    let deploy = json!({ "apps": [{ "script": "probe.js" }], "deploy": { "production": { "user": "x" } } });
    assert!(specs(Tool::Pm2, &deploy, Some("production")).is_ok(), "a deployment's post-deploy names it");
}

#[test]
fn an_app_inherits_what_is_no_session_of_anybody() {
    let (_, specs) = pm2(json!({ "script": "probe.js" })).unwrap();
    let names: Vec<&str> = specs[0].env.keys().map(String::as_str).collect();
    assert_eq!(names, ["T_INHERITED", "T_SECRET_KEY"]);
}

#[test]
fn what_stead_sets_itself_is_left_out_of_the_variables_and_named() {
    let app = json!({ "script": "probe.js", "env": { "NODE_APP_INSTANCE": 3, "A": null, "B": "x" } });
    let (imported, specs) = pm2(app).unwrap();
    assert_eq!(specs[0].env.get("B").map(String::as_str), Some("x"));
    assert!(!specs[0].env.contains_key("A") && !specs[0].env.contains_key("NODE_APP_INSTANCE"));
    assert!(imported.warning.unwrap().contains("env.NODE_APP_INSTANCE"));
}

#[test]
fn a_script_is_looked_for_where_one_is_and_then_beside_the_file() {
    let nothing = BTreeMap::new();
    let from = |here: &str, beside: &str, app: Json| {
        let ground = Ground {
            file: "x",
            here,
            beside,
            home: "/root",
            cpus: 1,
            profile: None,
            environment: &nothing,
            look: &look,
            program: &program,
        };
        let imported = import(Tool::Pm2, &json!({ "apps": [app] }), &ground).map_err(|errors| errors.to_string())?;
        Ok::<_, String>(specs_of(&imported, None).unwrap().remove(0).cwd)
    };
    assert_eq!(from("/dir", "/dir/sub", json!({ "script": "probe.js" })).as_deref(), Ok("/dir"));
    assert_eq!(from("/tmp", "/dir/sub", json!({ "script": "probe.js" })).as_deref(), Ok("/dir/sub"));
    assert_eq!(from("/tmp", "/dir", json!({ "script": "probe.js", "cwd": "sub" })).as_deref(), Ok("/dir/sub"));
    assert_eq!(from("/tmp", "/dir", json!({ "script": "npm", "args": "start" })).as_deref(), Ok("/tmp"));
    let lost = from("/tmp", "/dir", json!({ "script": "x.js" })).unwrap_err();
    assert!(lost.contains("/tmp, where you are, or /dir, where the file is"), "{lost}");
}

#[test]
fn what_runs_a_file_is_told_by_its_extension_and_then_by_the_file() {
    let argv = |app: Json| {
        let spec = pm2(app).unwrap().1.remove(0);
        std::iter::once(spec.command.program).chain(spec.command.args).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(argv(json!({ "script": "./www" })), "/usr/bin/node /dir/www");
    assert_eq!(argv(json!({ "script": "./run", "args": "x" })), "/dir/run x");
    assert_eq!(argv(json!({ "script": "npm", "args": "run start" })), "/usr/bin/npm run start");
    assert_eq!(argv(json!({ "script": "npm run start -- --port 80" })), "/usr/bin/npm run start -- --port 80");
    assert_eq!(argv(json!({ "script": "cd sub && node probe.js" })), "/usr/bin/bash -c cd sub && node probe.js");
    assert_eq!(
        argv(json!({ "script": "probe.js", "interpreter": "node@18.1.0" })),
        "/home/somebody/.nvm/versions/node/v18.1.0/bin/node /dir/probe.js"
    );
    assert_eq!(
        argv(json!({ "script": "probe.py", "interpreter": "/usr/bin/python3", "interpreter_args": "-u" })),
        "/usr/bin/python3 -u /dir/probe.py"
    );
    assert_eq!(
        argv(json!({ "script": "package", "node_args": "--no-warnings", "args": ["a"] })),
        "/usr/bin/node --no-warnings /dir/package a"
    );
    assert_eq!(
        argv(json!({ "script": "probe.js", "source_map_support": true })),
        "/usr/bin/node --enable-source-maps /dir/probe.js"
    );
}

#[test]
fn only_node_can_say_ready() {
    let (imported, specs) = pm2(json!({ "script": "probe.py", "wait_ready": true })).unwrap();
    assert_eq!(specs[0].ready_on, ReadyOn::Auto);
    assert!(imported.warning.unwrap().contains("wait_ready: only what node runs"));
}

#[test]
fn a_pattern_that_is_a_regular_expression_is_named() {
    let app =
        json!({ "script": "probe.js", "watch": true, "ignore_watch": [{ "$regex": "[\\/\\\\]\\." }, "node_modules"] });
    let (imported, _) = pm2(app).unwrap();
    assert!(imported.warning.unwrap().contains("ignore_watch: /[\\/\\\\]\\./ is a regular expression"));
}

#[test]
fn finalpm_says_what_finalpm_would_say() {
    let refused = |app: Json| specs(Tool::FinalPm, &json!({ "applications": [app] }), None).unwrap_err().to_string();
    assert_snapshot!(refused(json!({ "name": "app/0", "run": "probe.js" })), @r#"ecosystem.config.js: app/0: `name`: "app/0" is no name of an application: use letters, digits, "_" and "-", not "all", and no "-" first"#);
    assert_snapshot!(refused(json!({ "name": "app", "run": "probe.js", "instnces": 2 })), @"ecosystem.config.js: app: `instnces`: unknown key: did you mean `instances`?");
    assert_snapshot!(refused(json!({ "name": "app", "run": "probe.js", "instances": 2, "max-instances": 2 })), @"ecosystem.config.js: app: `max-instances`: max-instances must be larger than instances, and 2 is not larger than 2: nothing could be replaced by what starts before it stops");
    assert_snapshot!(refused(json!({ "name": "app", "run": "nosuch.js" })), @"ecosystem.config.js: app: `run`: no such file: /dir/nosuch.js: a relative path is taken from /dir");
    assert_snapshot!(refused(json!({ "name": "app", "run": "probe.js", "ready-on": "notify" })), @r#"ecosystem.config.js: app: `ready-on`: unknown value "notify": use "listen" or "message" or "instant""#);
    assert_snapshot!(refused(json!({ "name": "app", "run": "probe.js", "args": "a b" })), @r#"ecosystem.config.js: app: `args`: cannot be "a b": use a list of texts"#);
    let top = |config: Json| specs(Tool::FinalPm, &config, None).unwrap_err().to_string();
    assert_snapshot!(top(json!({ "applications": null })), @"ecosystem.config.js: `applications`: cannot be nothing: it must be an array of objects");
    assert_snapshot!(top(json!({ "applications": [], "npm-user-config": "/x" })), @r#"
    ecosystem.config.js: `npm-user-config`: cannot stand here: it will have no effect in a file, there neither: take it out
    ecosystem.config.js: no applications in it: export them: module.exports = { applications: [{ run: "server.js" }] }
    "#);
    assert_snapshot!(top(json!({})), @r#"ecosystem.config.js: no applications in it: export them: module.exports = { applications: [{ run: "server.js" }] }"#);
}

#[test]
fn finalpm_waits_for_ever_and_restarts_for_ever() {
    let app = json!({ "applications": [{ "name": "app", "run": "probe.js" }] });
    let (_, mut specs) = specs(Tool::FinalPm, &app, None).unwrap();
    let spec = specs.remove(0);
    assert_eq!((spec.start_timeout.as_secs(), spec.stop_timeout.as_secs(), spec.max_restarts), (600, 600, 0));
    assert_eq!(
        (spec.ready_on, spec.max_surge.of(4), spec.instance_var.as_str()),
        (ReadyOn::Listen, 4, "FINAL_PM_INSTANCE_NUMBER")
    );
    assert_eq!((spec.replace, spec.stop_signal), (Replace::Auto, Signal::INT));
}

#[test]
fn a_logger_of_finalpm_is_left_out_and_named() {
    let apps = json!({ "applications": [{ "name": "app", "run": "probe.js" }, { "name": "my-logger", "type": "logger", "run": "probe.js" }] });
    let (imported, specs) = specs(Tool::FinalPm, &apps, None).unwrap();
    assert_eq!(specs.len(), 1);
    assert!(imported.warning.unwrap().contains("application \"my-logger\": it is a logger"));
}

#[test]
fn what_pm2_saved_becomes_the_apps_that_it_was() {
    let dump = read("dump.json");
    let config = dump::ecosystem(&dump, "/home/somebody/.pm2").unwrap();
    let imported = convert(Tool::Pm2, &config, None, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
    let text: String = imported.apps.iter().map(|app| app_toml(&app.raw) + "\n").collect();
    assert_snapshot!(text, @r#"
    [[app]]
    name = "gateway"
    cwd = "/dir"
    run = "/dir/gateway.js"
    interpreter = "node"
    stop_timeout = "3s"
    stop_scope = "all"

    [app.env]
    GATEWAY_PORT = "13998"
    PATH = "/usr/local/bin:/usr/bin:/bin"
    PORT = "13998"

    [[app]]
    name = "resize"
    cwd = "/dir"
    run = "/dir/resize.py"
    interpreter = "python3"
    interpreter_args = ["-u"]
    args = ["--queue", "images", "--batch", "10"]
    replace = "by-port"
    instances = 2
    instance_var = "WORKER_ID"
    increment_var = "WORKER_PORT"
    stop_signal = "SIGINT"
    stop_scope = "all"
    max_memory_restart = "200M"

    [app.env]
    GATEWAY_PORT = "13998"
    PATH = "/usr/local/bin:/usr/bin:/bin"
    PYTHONPATH = "./lib"
    WORKER_PORT = "9100"
    PYTHONUNBUFFERED = "1"

    [[app]]
    name = "Nightly-Report"
    namespace = "reports"
    cwd = "/dir"
    run = "/dir/report.sh"
    interpreter = "bash"
    args = ["daily", "all shops"]
    replace = "by-port"
    restart = "never"
    ready_on = "instant"
    autostart = false
    stop_signal = "SIGINT"
    stop_scope = "all"
    cron_restart = "0 3 * * *"

    [app.env]
    GATEWAY_PORT = "13998"
    PATH = "/usr/local/bin:/usr/bin:/bin"

    [[app]]
    name = "ticker"
    cwd = "/dir"
    run = "/usr/bin/bash"
    interpreter = "none"
    args = ["-c", "while true; do echo tick; sleep 1000; done"]
    replace = "by-port"
    stop_signal = "SIGINT"
    stop_scope = "all"

    [app.env]
    GATEWAY_PORT = "13998"
    PATH = "/usr/local/bin:/usr/bin:/bin"
    "#);
    assert!(specs_of(&imported, None).is_ok());
    assert_eq!(dump::ecosystem(&json!({}), "/x"), None);
    assert_eq!(dump::ecosystem(&json!([{ "name": "a" }]), "/x"), None);
}

#[test]
fn the_table_of_the_readme_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let (begin, end) = (
        "<!-- generated from src/config/ecosystem/table.rs: UPDATE=1 cargo test --test spec readme -->\n",
        "<!-- end of it -->",
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).expect("README.md has lost the line before PM2's keys");
    let (found, after) = rest.split_once(end).expect("README.md has lost the line after FinalPM's keys");
    let wanted = format!("\n{}\n", compatibility().trim());
    if found == wanted {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
    }
    panic!("README.md is behind the table: run UPDATE=1 cargo test --test spec readme");
}
