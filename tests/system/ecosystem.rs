//! Configs of PM2 and FinalPM as their users have them: started unchanged, evaluated as whoever asks, refused in words
//! that help. What runs is held against what PM2 itself ran (tests/ecosystem/real.json).

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Said, Stead, eventually, free_port};

/// A project of tests/apps, copied to a directory of the test.
fn project(stead: &Stead, name: &str) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(name), &stead.path(name));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(fs::copy(&from, &to).is_ok()),
        }
    }
}

/// Runs `stead` in a directory of the test, with these variables.
fn run_in(stead: &Stead, directory: &str, variables: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = stead.command(args);
    command.current_dir(stead.path(directory));
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn recorded(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ecosystem/real.json");
    let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all[name].as_array().unwrap().clone()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn environment_of(pid: i32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn a_nest_api_of_pm2s_runs_unchanged_and_is_reloaded_without_a_gap() {
    let stead = Stead::new();
    project(&stead, "nest");
    let port = free_port();
    let variables = [("PORT", &*port.to_string()), ("WEB_CONCURRENCY", "")];
    let start = ["start", "ecosystem.config.js", "--env", "production"];
    let said = run_in(&stead, "nest", &variables, &start).ok();
    let theirs = recorded("nest");
    let of = |name: &str| theirs.iter().filter(|process| process["pm2"]["name"] == name).collect::<Vec<_>>();
    let rows = stead.list();
    for name in ["shop-api", "shop-mailer-production"] {
        let ours = rows.iter().filter(|row| row["app"] == name).count();
        assert_eq!(ours, of(name).len(), "{name}: {rows:#?}");
    }
    // What it was given, by its own account.
    let body: Value = serde_json::from_str(&get(port).expect("it serves")).unwrap();
    let pm2 = &of("shop-api")[0]["pm2"];
    assert_eq!((&body["args"], &body["options"]), (&pm2["args"], &pm2["node_args"]));
    assert_eq!(body["cwd"], stead.path("nest").to_str().unwrap());
    let env = &body["env"];
    assert_eq!((&env["NODE_ENV"], &env["APP_VERSION"]), (&"production".into(), &"1.4.2".into()));
    assert_eq!((&env["DATABASE_URL"], &env["RELEASE"]), (&"postgres://production/shop".into(), &"main".into()));
    assert_eq!(env["FEATURES"], "{\"billing\":false}");
    let mailer = environment_of(stead.pid("shop-mailer-production/0"));
    for (name, value) in of("shop-mailer-production")[0]["env"].as_object().unwrap() {
        let ours = mailer.get(name).map(String::as_str);
        assert_eq!(ours, if name == "PORT" { ours } else { value.as_str() }, "{name}");
    }
    // Its lines are where PM2 put them, in a directory that it made for them.
    let out = || fs::read_to_string(stead.path("nest/logs/out.log")).unwrap_or_default();
    assert!(eventually(|| out().contains("listening, production")), "{}", out());
    // The same again changes nothing.
    let pids = [stead.pid("shop-api/0"), stead.pid("shop-api/1"), stead.pid("shop-mailer-production/0")];
    run_in(&stead, "nest", &variables, &start).ok();
    assert_eq!(
        pids,
        [stead.pid("shop-api/0"), stead.pid("shop-api/1"), stead.pid("shop-mailer-production/0")],
        "{}",
        said.err
    );
    // The server is replaced new-first; the worker, which listens on nothing, old-first, and that is said.
    let said = stead.run(&["restart", "all"]).ok();
    assert!(said.err.contains("shop-mailer-production is replaced old-first: it listens on no port"), "{}", said.err);
    assert!(!said.err.contains("shop-api is replaced old-first"), "{}", said.err);
    assert!(get(port).is_some());
}

#[test]
fn a_directory_for_logs_is_made_by_a_start_as_the_app_and_by_nothing_else() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let stead = Stead::new();
    fs::create_dir(stead.path("open")).unwrap();
    fs::set_permissions(stead.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let config = "module.exports = { apps: [{ name: 'a', script: 'sleep', args: '1000', interpreter: 'none', uid: 'nobody', cwd: '/',
        out_file: `${__dirname}/open/logs/a/out.log` }] };";
    stead.file("ecosystem.config.js", config);
    stead.run(&["check"]).ok();
    stead.run(&["plan"]).ok();
    assert!(!stead.path("open/logs").exists());
    stead.run(&["start"]).ok();
    assert_eq!(fs::metadata(stead.path("open/logs/a")).unwrap().uid(), 65534);
    // One that its user cannot make is an error before anything starts.
    stead.file("closed.config.js", &config.replace("'a'", "'b'").replace("/open/", "/closed/"));
    let said = stead.run(&["start", "closed.config.js"]).fails();
    assert!(
        said.err.contains("closed.config.js: b: `out_file`: no directory")
            && said.err.contains("cannot be made by nobody"),
        "{}",
        said.err
    );
    assert_eq!(stead.list().len(), 1);
}

#[test]
fn a_forked_server_of_pm2s_is_replaced_new_first() {
    let stead = Stead::new();
    project(&stead, "workers");
    let port = free_port().to_string();
    let config = "module.exports = { apps: [{ name: 'web', script: './gateway.js', exec_mode: 'fork', port: process.env.GATEWAY_PORT }] };";
    fs::write(stead.path("workers/fork.config.js"), config).unwrap();
    run_in(&stead, "workers", &[("GATEWAY_PORT", &port)], &["start", "fork.config.js"]).ok();
    let said = stead.run(&["restart", "web"]).ok();
    assert!(!said.err.contains("old-first"), "{}", said.err);
}

#[test]
fn a_mixed_set_of_workers_of_pm2s_runs_unchanged() {
    let stead = Stead::new();
    project(&stead, "workers");
    let port = free_port();
    let said =
        run_in(&stead, "workers", &[("GATEWAY_PORT", &port.to_string())], &["start", "ecosystem.config.cjs"]).ok();
    let here = stead.path("workers");
    let here = here.to_str().unwrap();
    assert!(get(port).is_some_and(|body| body.starts_with("gateway ")));
    let mut slots: BTreeMap<String, u32> = BTreeMap::new();
    for process in recorded("workers") {
        let name = process["pm2"]["name"].as_str().unwrap().replace(' ', "-");
        let slot = slots.entry(name.clone()).or_default();
        let row = stead.instance(&format!("{name}/{slot}"));
        *slot += 1;
        if process["pm2"]["status"] == "stopped" {
            stead.wait(row["instance"].as_str().unwrap(), "over", |row| row["status"] == "stopped");
            continue;
        }
        let pid = row["pid"].as_i64().unwrap() as i32;
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some(here), "{name}");
        let env = environment_of(pid);
        for (variable, value) in process["env"].as_object().unwrap() {
            assert_eq!(env.get(variable).map(String::as_str), value.as_str(), "{name}: {variable}");
        }
        let Some(argv) = process["argv"].as_array() else { continue };
        let theirs: Vec<String> = argv.iter().map(|arg| arg.as_str().unwrap().replace("/dir", here)).collect();
        let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let mut ours: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        ours[0] = ours[0].rsplit('/').next().unwrap().to_owned();
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(stead.list().len(), slots.values().sum::<u32>() as usize);
    // By the name that it has in the file, too.
    let logs = stead.run(&["logs", "Nightly Report", "--no-follow"]).ok();
    assert!(logs.out.contains(&format!("report for daily all shops from {here}")), "{}\n{}", logs.out, said.err);
}

/// Evaluated as root would be another directory's owner with root's powers.
#[test]
fn under_sudo_a_config_is_evaluated_as_who_typed_it() {
    let stead = Stead::new();
    let js = "const id = [process.getuid(), process.getgid(), process.env.USER, ...process.getgroups()].join('-');
        module.exports = { apps: [{ name: `who-${id}-${process.env.SUDO_UID}`, script: '/bin/true' }] };";
    stead.file("who.config.js", js);
    stead.file("who.json", "{ apps: [{ name: 'who-' + process.getuid(), script: '/bin/true' }] } // expression");
    let nobody = [("SUDO_UID", "65534"), ("SUDO_USER", "nobody")];
    let said = run_in(&stead, "", &nobody, &["check", "who.config.js"]).ok();
    assert!(said.out.contains("(who-65534-65534-nobody-65534-undefined)"), "{}", said.out);
    let said = run_in(&stead, "", &nobody, &["check", "who.json"]).ok();
    assert!(said.out.contains("(who-65534)"), "{}", said.out);
    // Without sudo root is who asks.
    let said = run_in(&stead, "", &[], &["check", "who.config.js"]).ok();
    assert!(said.out.contains("(who-0-0-"), "{}", said.out);
    assert!(!stead.path("run").exists(), "a daemon was started");
}

/// Every way in which a new user gets it wrong: code 78, one sentence with the place, and nothing is started.
#[test]
fn what_gives_no_apps_is_refused_in_words_that_help() {
    let stead = Stead::new();
    let cases = [
        (
            "syntax.config.js",
            "module.exports = {\n  apps: [{ name: 'a' script: 'b' }]\n}",
            "syntax.config.js:2:22: Unexpected identifier",
        ),
        ("throws.config.js", "\nthrow new Error('no secret');", "throws.config.js:2:7: no secret"),
        (
            "missing.config.js",
            "require('no-such-module');",
            "missing.config.js:1:1: it requires the module \"no-such-module\", which is not",
        ),
        ("near.config.js", "require('./near');", "it requires ./near, which is not there"),
        ("exits.config.js", "process.exit(3);", "it ended by itself (process.exit), code 3"),
        ("quits.config.js", "process.exit(0);", "without a result"),
        ("nothing.config.js", "const apps = [{ script: 'x' }];", "nothing.config.js: no apps in it"),
        ("broken.config.mjs", "export default {\n  apps: [", "broken.config.mjs:2:"),
        ("circular.config.js", "const a = { apps: [] }; a.a = a; module.exports = a;", "cannot be written as data"),
        ("x.yml", "apps:\n  - name: a\n   script: b\n", "x.yml:3:"),
        ("x.json", "{ \"apps\": [ { \"script\": } ] }", "x.json:1:"),
        ("package.json", "{ \"name\": \"x\" }", "it has no `pm2` key"),
        ("process-config.json", "{ \"applications\": [\n {,} ] }", "process-config.json:2:3: not JSON"),
        (
            "typo.config.js",
            "module.exports = { apps: [{ script: 'x.js', kill_timeout: 'long' }] }",
            "x: `kill_timeout`: cannot be \"long\"",
        ),
    ];
    for (name, text, words) in cases {
        stead.file(name, text);
        let said = stead.run(&["start", name]).fails();
        assert_eq!(said.code, Some(78), "{name}: {}", said.err);
        assert!(said.err.contains(words), "{name} does not say {words:?}:\n{}", said.err);
        assert!(said.err.lines().count() <= 2, "{name}: {}", said.err);
    }
    let said = stead.run(&["start", "nosuch.config.js"]).fails();
    assert!(said.err.contains("nosuch.config.js") && said.err.contains("No such file"), "{}", said.err);
    assert!(!stead.path("run").exists(), "a daemon was started");
}

#[test]
fn a_config_that_never_ends_is_ended_with_all_that_it_began() {
    let stead = Stead::new();
    stead.file("loops.config.js", "for (;;);");
    stead.file("asks.config.js", "module.exports = new Promise((done) => setTimeout(done, 1 << 30));");
    let pidfile = stead.path("pid");
    let shell = format!("require('child_process').execSync('echo $$ > {}; exec sleep 1000');", pidfile.display());
    stead.file("runs.config.js", &shell);
    for name in ["loops.config.js", "asks.config.js", "runs.config.js"] {
        let said = run_in(&stead, "", &[("STEAD_CONFIG_TIMEOUT", "1s")], &["check", name]).fails();
        assert_eq!(said.code, Some(78));
        assert!(
            said.err.contains("has not done with it after 1s") && said.err.contains("STEAD_CONFIG_TIMEOUT=60s"),
            "{}",
            said.err
        );
    }
    let pid: i32 = fs::read_to_string(pidfile).unwrap().trim().parse().unwrap();
    assert!(eventually(|| !crate::support::alive(pid)), "its child lives on");
    let said = run_in(&stead, "", &[("STEAD_CONFIG_TIMEOUT", "soon")], &["check", "loops.config.js"]).fails();
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn what_a_config_prints_is_no_data_and_what_it_sets_is_inherited() {
    let stead = Stead::new();
    stead.file("app.js", "");
    let js = "console.log('injected env (1)'); process.env.FROM_DOTENV = 'yes';
        setInterval(() => {}, 1000);
        module.exports = { apps: [{ name: process.argv.includes('production') ? 'prod' : 'dev', script: 'app.js', env_production: {} }] };";
    stead.file("ecosystem.config.js", js);
    let said = stead.run(&["import", "--env", "production"]).ok();
    assert!(said.err.contains("injected env (1)") && !said.out.contains("injected"), "{}", said.err);
    assert!(said.out.contains("FROM_DOTENV = \"yes\"") && said.out.contains("name = \"prod\""), "{}", said.out);
}

#[test]
fn every_form_of_a_file_of_pm2s_gives_the_same_apps() {
    let stead = Stead::new();
    stead.file("app.js", "");
    let object = r#"{ "apps": [{ "name": "a", "script": "app.js", "instances": 2, "env": { "A": "1" } }] }"#;
    let forms = [
        ("e.config.js", format!("module.exports = {object};")),
        ("e.config.cjs", format!("module.exports = {object};")),
        ("e.config.mjs", format!("export default {object};")),
        ("named.config.mjs", format!("export const apps = {object}.apps;")),
        ("fn.config.js", format!("module.exports = async () => ({object});")),
        ("ecosystem.dev.js", format!("module.exports = {object};")),
        ("e.json", object.to_owned()),
        ("comments.json", format!("// what runs\n{object} /* all */")),
        ("e.yaml", "apps:\n  - name: a\n    script: app.js\n    instances: 2\n    env: { A: 1 }\n".to_owned()),
        (
            "package.json",
            format!("{{ \"pm2\": {object}.apps }}")
                .replace(".apps", "")
                .replace("{ \"apps\":", "")
                .replace("] } }", "] }"),
        ),
    ];
    let apps = |said: Said| said.ok().out.lines().skip(2).collect::<Vec<_>>().join("\n");
    let mut expected = None;
    for (name, text) in forms {
        stead.file(name, &text);
        let ours = apps(stead.run(&["import", name]));
        assert_eq!(*expected.get_or_insert(ours.clone()), ours, "{name}: {text}");
    }
    // Piped, as PM2 takes it.
    for text in [object, &format!("({object})"), &format!("[{{ ...{object}.apps[0] }}]")] {
        let mut child = stead.command(&["import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let ours = String::from_utf8(output.stdout).unwrap().lines().skip(2).collect::<Vec<_>>().join("\n");
        assert_eq!(Some(ours), expected, "{text}");
    }
    // A file that says nothing of JSON's is TOML still.
    let said = stead.run(&["check", "-"]);
    assert!(said.err.contains("no app in this file"), "{}", said.err);
}

#[test]
fn what_was_imported_starts_as_the_file_that_it_came_from() {
    let stead = Stead::new();
    project(&stead, "workers");
    let variables = [("GATEWAY_PORT", "13998")];
    let toml = run_in(&stead, "workers", &variables, &["import", "ecosystem.config.cjs"]).ok();
    fs::write(stead.path("workers/stead.toml"), &toml.out).unwrap();
    let said = run_in(&stead, "workers", &[], &["check"]).ok();
    assert_eq!(
        said.out.trim_end(),
        format!("{}: ok (gateway, resize, Nightly-Report, ticker)", stead.path("workers/stead.toml").display())
    );
    let said = stead.run(&["import", "workers/stead.toml"]).fails();
    assert!(said.err.contains("is TOML already"), "{}", said.err);
}

#[test]
fn what_pm2_saved_is_imported_from_its_home() {
    let stead = Stead::new();
    let home = stead.path("pm2");
    let said = run_in(&stead, "", &[("PM2_HOME", home.to_str().unwrap())], &["import", "pm2"]).fails();
    assert!(said.err.contains("PM2 has saved nothing for you") && said.err.contains("pm2 save"), "{}", said.err);
    project(&stead, "workers");
    let dump = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ecosystem/dump.json")).unwrap();
    fs::create_dir(&home).unwrap();
    let dump = dump.replace("/dir", stead.path("workers").to_str().unwrap());
    fs::write(home.join("dump.pm2"), dump.replace("/home/somebody/.pm2", home.to_str().unwrap())).unwrap();
    let said = run_in(&stead, "", &[("PM2_HOME", home.to_str().unwrap())], &["import", "pm2"]).ok();
    for words in
        ["name = \"resize\"", "instances = 2", "name = \"Nightly-Report\"", "namespace = \"reports\"", "WORKER_PORT"]
    {
        assert!(said.out.contains(words), "{words} is missing:\n{}", said.out);
    }
    fs::write(home.join("dump.pm2"), "{}").unwrap();
    let said = run_in(&stead, "", &[("PM2_HOME", home.to_str().unwrap())], &["import", "pm2"]).fails();
    assert!(said.err.contains("not what pm2 save writes"), "{}", said.err);
}

#[test]
fn only_chooses_apps_by_the_name_of_the_file_or_by_ours() {
    let stead = Stead::new();
    project(&stead, "workers");
    let only = |names: &str| run_in(&stead, "workers", &[], &["plan", "ecosystem.config.cjs", "--only", names]);
    for names in ["Nightly-Report,ticker", "ticker,Nightly-Report"] {
        let said = only(names).ok();
        assert!(
            said.out.contains("ticker") && said.out.contains("Nightly-Report") && !said.out.contains("resize"),
            "{}",
            said.out
        );
    }
    let said = only("tickr").fails();
    assert!(
        said.err.contains("--only tickr: no such app in ecosystem.config.cjs, which has gateway, resize"),
        "{}",
        said.err
    );
}

#[test]
fn a_foreign_config_is_found_here_and_above_when_no_file_is_named() {
    let stead = Stead::new();
    project(&stead, "workers");
    fs::create_dir_all(stead.path("workers/src/deep")).unwrap();
    let said = run_in(&stead, "workers/src/deep", &[], &["check"]).ok();
    assert!(said.out.contains("workers/ecosystem.config.cjs: ok"), "{}", said.out);
    // One of ours is taken before it, and of two others neither.
    fs::write(stead.path("workers/process-config.json"), "{}").unwrap();
    let said = run_in(&stead, "workers", &[], &["check"]).fails();
    assert!(said.err.contains("stand side by side: name the one to check"), "{}", said.err);
    fs::write(stead.path("workers/stead.toml"), "[[app]]\nrun = \"sleep 9\"\n").unwrap();
    let said = run_in(&stead, "workers", &[], &["check"]).ok();
    assert!(said.out.contains("stead.toml: ok (sleep)"), "{}", said.out);
}

// FinalPM's own behaviours, from its tests.

const FINALPM: &str =
    "{ \"applications\": [{ \"name\": \"app\", \"run\": \"./app.js\", \"ready-on\": \"message\", \"instances\": 3,
    \"start-timeout\": 2000 }, { \"name\": \"b\", \"run\": \"./app.js\", \"ready-on\": \"instant\" }] }";

#[test]
fn a_config_of_finalpms_is_found_in_a_folder_and_from_the_folders_below_it() {
    let stead = Stead::new();
    fs::create_dir_all(stead.path("dir/child")).unwrap();
    stead.file("dir/app.js", "");
    stead.file("dir/process-config.js", &format!("module.exports = {FINALPM};"));
    for from in ["dir", "dir/child"] {
        let said = run_in(&stead, from, &[], &["check"]).ok();
        assert!(said.out.contains("dir/process-config.js: ok (app, b)"), "{}", said.out);
    }
    stead.run(&["check", "dir/process-config.js"]).ok();
    assert_eq!(stead.run(&["check", "dir/child/process-config.js"]).code, Some(78));
    assert_eq!(stead.run(&["check", "INVALID/process-config.js"]).code, Some(78));
}

#[test]
fn an_object_a_function_a_promise_and_json_are_the_same_config_of_finalpms() {
    let stead = Stead::new();
    stead.file("app.js", "");
    let forms = [
        ("json", "process-config.json", FINALPM.to_owned()),
        ("object", "process-config.js", format!("module.exports = {FINALPM};")),
        ("function", "process-config.js", format!("module.exports = function () {{ return {FINALPM}; }};")),
        ("promise", "process-config.js", format!("module.exports = new Promise((resolve) => resolve({FINALPM}));")),
        ("async", "process-config.js", format!("module.exports = async function () {{ return {FINALPM}; }};")),
    ];
    let mut expected = None;
    for (form, name, text) in forms {
        stead.file(name, &text);
        let ours = stead.run(&["import", name]).ok().out.lines().skip(2).collect::<Vec<_>>().join("\n");
        assert_eq!(ours.matches("[[app]]").count(), 2, "every application once");
        assert_eq!(*expected.get_or_insert(ours.clone()), ours, "{form}");
    }
}

#[test]
fn an_empty_config_of_finalpms_has_no_applications() {
    let stead = Stead::new();
    stead.file("process-config.json", "{}");
    let said = stead.run(&["check", "process-config.json"]).fails();
    assert!(said.err.contains("process-config.json: no applications in it"), "{}", said.err);
}

#[test]
fn several_configs_of_finalpms_are_started_by_one_command() {
    let stead = Stead::new();
    for (dir, app) in [("x", "one"), ("y", "two")] {
        fs::create_dir(stead.path(dir)).unwrap();
        stead.file(
            &format!("{dir}/app.js"),
            "process.on('SIGINT', () => process.exit()); setInterval(() => {}, 1 << 30);",
        );
        let text = format!(
            "{{ \"applications\": [{{ \"name\": \"{app}\", \"run\": \"app.js\", \"ready-on\": \"instant\" }}] }}"
        );
        stead.file(&format!("{dir}/process-config.json"), &text);
    }
    stead.run(&["start", "x/process-config.json", "y/process-config.json"]).ok();
    let env = environment_of(stead.pid("two/0"));
    assert_eq!(env.get("FINAL_PM_INSTANCE_NUMBER").map(String::as_str), Some("0"));
    assert!(!env.contains_key("NODE_APP_INSTANCE"));
    stead.pid("one/0");
}

#[test]
fn a_config_of_finalpms_that_fails_is_refused_with_what_happened() {
    let stead = Stead::new();
    stead.file("app.js", "");
    let throws = "throw new Error('$$$ERROR$$$')";
    let good = "{ applications: [{ name: 'app', run: 'app.js' }] }";
    let cases = [
        ("throws at load", throws.to_owned(), "$$$ERROR$$$"),
        ("throws in an async function", format!("module.exports = async () => {{ {throws}; }};"), "$$$ERROR$$$"),
        (
            "throws in a later callback",
            format!("module.exports = async () => {{ setImmediate(() => {{ {throws}; }}); return {good}; }};"),
            "$$$ERROR$$$",
        ),
        (
            "throws much later",
            format!("module.exports = async () => {{ setTimeout(() => {{ {throws}; }}, 100); return {good}; }};"),
            "$$$ERROR$$$",
        ),
        (
            "an unhandled promise",
            format!("module.exports = () => {{ new Promise(() => {{ {throws}; }}); return {good}; }};"),
            "$$$ERROR$$$",
        ),
        ("exits with a failure", "module.exports = async () => process.exit(1);".to_owned(), "code 1"),
        ("fails after its result", format!("process.exitCode = 4; module.exports = {good};"), "code 4"),
        ("exits without a result", "module.exports = async () => process.exit(0);".to_owned(), "without a result"),
        (
            "two results",
            format!("module.exports = async () => {{ process.send({{}}); return {good}; }};"),
            "a second result",
        ),
        (
            "an error without a message",
            "module.exports = async () => { process.send({ error: new Error() }); };".to_owned(),
            "Unknown Error",
        ),
        (
            "applications null",
            "module.exports = { applications: null };".to_owned(),
            "`applications`: cannot be nothing: it must be an array",
        ),
        (
            "an unknown key",
            "module.exports = { applications: [{ name: 'a', run: 'app.js', instnces: 2 }] };".to_owned(),
            "did you mean `instances`?",
        ),
        ("a bad name", "module.exports = { applications: [{ name: 'app/0', run: 'app.js' }] };".to_owned(), "app/0"),
        ("npm's config", format!("module.exports = {{ 'npm-user-config': '/x', ...{good} }};"), "will have no effect"),
        (
            "max-instances",
            "module.exports = { applications: [{ name: 'a', run: 'app.js', instances: 2, 'max-instances': 2 }] };"
                .to_owned(),
            "max-instances must be larger than instances",
        ),
    ];
    for (what, text, words) in cases {
        stead.file("process-config.js", &text);
        let said = stead.run(&["check", "process-config.js"]).fails();
        assert_eq!(said.code, Some(78), "{what}: {}", said.err);
        assert!(
            said.err.contains("process-config.js") && said.err.contains(words),
            "{what} does not say {words:?}:\n{}",
            said.err
        );
    }
    stead.file("process-config.json", "{ \"applications\": [{}] ");
    let said = stead.run(&["check", "process-config.json"]).fails();
    assert!(said.err.contains("process-config.json:1:23: not JSON: EOF"), "{}", said.err);
    assert!(stead.run(&["check", "404/process-config.json"]).fails().err.contains("No such file"));
}

/// FinalPM refuses it, since node's fork knows no listening; the kernel does.
#[test]
fn a_forked_application_of_finalpms_can_be_ready_when_it_listens() {
    let stead = Stead::new();
    project(&stead, "workers");
    let port = free_port();
    let text = format!(
        "module.exports = {{ applications: [{{ name: 'web', mode: 'fork', run: 'gateway.js', env: {{ PORT: {port} }} }}] }};"
    );
    stead.file("workers/process-config.js", &text);
    stead.run(&["start", "workers/process-config.js"]).ok();
    assert!(get(port).is_some());
}

#[test]
fn package_config_reaches_the_environment_of_finalpms_applications() {
    let stead = Stead::new();
    stead.file("app.js", "");
    stead.file("package.json", "{ \"name\": \"x\", \"config\": { \"test\": \"a\" } }");
    stead.file("process-config.js", &format!("module.exports = {FINALPM};"));
    let said = stead.run(&["import", "process-config.js"]).ok();
    assert!(said.out.contains("npm_package_config_test = \"a\""), "{}", said.out);
}
