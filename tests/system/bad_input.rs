//! Wrong input of every kind: a clear error with place and mend, nothing started, nothing running touched.

use crate::support::{Stead, program};

#[test]
fn nothing_wrong_starts_anything_or_touches_what_runs() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    let sleeper = sleeper.to_str().unwrap();
    stead.run(&["start", sleeper, "--name", "ok", "--ready-on", "instant"]).ok();
    let pid = stead.pid("ok/0");
    stead.file("unknown_key.toml", "[[app]]\nname = \"a\"\nrun = \"sleep 9\"\nmemroy_max = \"1M\"\n");
    stead.file("wrong_type.toml", "[[app]]\nname = \"a\"\nrun = \"sleep 9\"\ninstances = \"many\"\n");
    stead.file("bad_unit.toml", "[[app]]\nname = \"a\"\nrun = \"sleep 9\"\nmemory_max = \"64Q\"\n");
    stead.file("bad_name.toml", "[[app]]\nname = \"../x\"\nrun = \"sleep 9\"\n");
    stead.file("twice.toml", "[[app]]\nname = \"a\"\nrun = \"sleep 9\"\n[[app]]\nname = \"a\"\nrun = \"sleep 9\"\n");
    stead.file("one_bad.toml", "[[app]]\nname = \"good\"\nrun = \"sleep 9\"\n[[app]]\nname = \"b\"\nrun = \"sleep 9\"\nuser = \"no-such-user\"\n");
    stead.file("empty.toml", "");
    stead.file("syntax.toml", "[[app\n");
    std::fs::write(stead.path("binary.toml"), [0x7f, b'E', b'L', b'F', 0, 0xff]).unwrap();
    std::fs::write(stead.path("huge.toml"), vec![b'#'; 10 << 20]).unwrap();
    stead.file("s.js", "");
    let cases: &[(&[&str], &str)] = &[
        (&["start", "unknown_key.toml"], "memory_max"),
        (&["start", "wrong_type.toml"], "instances"),
        (&["start", "bad_unit.toml"], "64Q"),
        (&["start", "bad_name.toml"], "../x"),
        (&["start", "twice.toml"], "a"),
        (&["start", "one_bad.toml"], "no-such-user"),
        (&["start", "empty.toml"], "app"),
        (&["start", "syntax.toml"], "syntax.toml:1"),
        (&["start", "binary.toml"], "binary.toml"),
        (&["start", "huge.toml"], "huge.toml"),
        (&["start", "missing.toml"], "missing.toml"),
        (&["start", "missing.js"], "missing.js"),
        (&["start", "no-such-program"], "no-such-program"),
        (&["start", "s.js", "--interpreter", "no-such-node"], "no-such-node"),
        (&["start", "s.js", "--name", "../x"], "../x"),
        (&["start", "s.js", "--name", "all"], "all"),
        (&["start", "s.js", "-i", "0x"], "0x"),
        (&["start", "s.js", "-i", "-1"], "-1"),
        (&["start", "s.js", "--memory-max", "64Q"], "64Q"),
        (&["start", "s.js", "--user", "no-such-user"], "no-such-user"),
        (&["start", "s.js", "--cwd", "/no/such/dir"], "/no/such/dir"),
        (&["start", "s.js", "--stop-signal", "NOPE"], "NOPE"),
        (&["start", "s.js", "--restart", "sometimes"], "sometimes"),
        (&["start", "s.js", "--min-uptime", "5"], "unit"),
        (&["start", "s.js", "--nope"], "--nope"),
        (&["stop", "foo:ok"], "foo"),
        (&["stop", "ok/x"], "ok/x"),
        (&["stop", "nobody"], "nobody"),
        (&["stop"], ""),
        (&["scale", "nobody", "3"], "nobody"),
        (&["scale", "ok", "many"], "many"),
        (&["scale", "ok", "-5"], ""),
        (&["scale", "ok", "100000"], "100000"),
        (&["signal", "NOPE", "ok"], "NOPE"),
        (&["logs", "ok", "--since", "yesterdayish"], "yesterdayish"),
        (&["frob"], "frob"),
    ];
    for (args, word) in cases {
        let said = stead.run(args).fails();
        assert!(said.err.contains(word), "{args:?} does not name {word:?}:\n{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
        let rows = stead.list();
        assert_eq!(rows.len(), 1, "{args:?} left {rows:#?}");
    }
    assert_eq!(stead.pid("ok/0"), pid);
    assert_eq!(stead.instance("ok/0")["restarts"], 0);
}

#[test]
fn several_mistakes_of_one_file_are_reported_in_one_run_with_their_places() {
    let stead = Stead::new();
    stead.file("w.toml", "[[app]]\nname = \"w\"\nrun = \"sleep 9\"\nmemory_max = \"64Q\"\ninstances = -3\nnope = 1\n");
    let said = stead.run(&["check", "w.toml"]).fails();
    for place in ["w.toml:4:14", "w.toml:5:", "w.toml:6:"] {
        assert!(said.err.contains(place), "{place} is missing:\n{}", said.err);
    }
}

#[test]
fn an_app_that_prints_nothing_and_one_that_closes_its_output_are_kept() {
    let stead = Stead::new();
    stead
        .run(&["start", "sh", "--name", "c", "--ready-on", "instant", "--", "-c", "exec >&- 2>&-; exec sleep 1000"])
        .ok();
    let pid = stead.pid("c/0");
    stead.run(&["restart", "c"]).ok();
    assert_ne!(stead.pid("c/0"), pid);
}

#[test]
fn the_exit_code_tells_a_missing_file_from_an_unknown_name_and_from_wrong_usage() {
    let stead = Stead::new();
    let cases: &[(i32, &[&str])] = &[
        (2, &["start", "sleep 9", "--inherit-env=NO_SUCH_VARIABLE"]),
        (2, &["plan"]),
        (3, &["start", "no-such-program"]),
        (3, &["start", "no-such-app/2"]),
        (69, &["doctor"]),
        (69, &["list"]),
        (78, &["start", "missing.toml"]),
        (78, &["start", "missing.js"]),
        (78, &["start", "."]),
        (78, &["start", "sleep 9", "--env-file", "missing.env"]),
        (78, &["start", "sleep 9", "--name", "12"]),
    ];
    for (code, args) in cases {
        let said = stead.run(args).fails();
        assert_eq!(said.code, Some(*code), "{args:?} said:\n{}", said.err);
        assert!(!stead.path("run/private").exists(), "{args:?} started a daemon");
    }
}
