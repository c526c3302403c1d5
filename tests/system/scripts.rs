//! What scripts ask for: numbers, an environment, PM2's list; and PM2's words that stead has not.

use serde_json::{Value, json};

use crate::support::{Stead, app};

#[test]
fn numbers_and_an_environment_are_printed_one_a_line() {
    let stead = Stead::new();
    let start =
        ["start", "/bin/sleep", "--name", "s", "-i", "2", "--env", "A=b c", "--ready-on", "instant", "--", "1000"];
    stead.run(&start).ok();
    let pids = [stead.pid("s/0"), stead.pid("s/1")];
    assert_eq!(stead.run(&["pid"]).ok().out, format!("{}\n{}\n", pids[0], pids[1]));
    assert_eq!(stead.run(&["pid", "s/1"]).ok().out, format!("{}\n", pids[1]));
    let id = stead.instance("s/1")["id"].as_u64().unwrap();
    assert_eq!(stead.run(&["id", "s/1"]).ok().out, format!("{id}\n"));
    let env = stead.run(&["env", "s/1"]).ok().out;
    assert!(env.lines().any(|line| line == "A=b c") && env.lines().any(|line| line == "STEAD_INSTANCE=s/1"), "{env}");
    let said = stead.run(&["env", "s"]).fails().text();
    assert!(said.contains("2 instances") && said.contains("name one, as s/0"), "{said}");
    stead.run(&["stop", "s/1"]).ok();
    assert_eq!(stead.run(&["pid", "s"]).ok().out, format!("{}\n", pids[0]));
    assert!(stead.run(&["env", "s/1"]).fails().text().contains("s/1 does not run"));
}

#[test]
fn jlist_has_the_fields_that_scripts_for_pm2_read() {
    let stead = Stead::new();
    let (script, port) = (app("hello.js"), crate::support::free_port());
    let port_text = format!("PORT={port}");
    stead.run(&["start", script.to_str().unwrap(), "--name", "web", "--env", &port_text, "--", "-v"]).ok();
    stead.run(&["start", "/bin/sleep", "--name", "down", "--ready-on", "instant", "--", "1000"]).ok();
    stead.run(&["stop", "down"]).ok();
    let list: Value = serde_json::from_str(&stead.run(&["jlist"]).ok().out).unwrap();
    let [web, down] = list.as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(web["pid"], json!(stead.pid("web/0")));
    assert_eq!((&web["name"], &web["pm2_env"]["status"]), (&json!("web"), &json!("online")));
    assert_eq!(web["pm_id"], web["pm2_env"]["pm_id"]);
    assert!(web["monit"]["memory"].as_u64().unwrap() > 1 << 20 && web["monit"]["cpu"].is_number(), "{web}");
    assert_eq!(web["pm2_env"]["pm_exec_path"], json!(script.to_str().unwrap()));
    assert_eq!(web["pm2_env"]["args"], json!(["-v"]));
    // Twice, as PM2 has it.
    assert_eq!(web["pm2_env"]["PORT"], json!(port.to_string()));
    assert_eq!(web["pm2_env"]["env"]["PORT"], json!(port.to_string()));
    assert_eq!((&down["pid"], &down["pm2_env"]["status"]), (&json!(0), &json!("stopped")));
}

#[test]
fn a_word_of_pm2s_that_is_not_here_is_refused_with_what_to_type_instead() {
    let stead = Stead::new();
    for (word, instead) in [("plus", "no cloud"), ("startOrReload", "stead start FILE"), ("reloadLogs", "rotates")] {
        let said = stead.run(&[word, "x"]).fails().text();
        assert!(said.contains(&format!("there is no \"{word}\"")) && said.contains(instead), "{said}");
    }
    // One that nobody has is met as any typing error.
    assert!(stead.run(&["lits"]).fails().text().contains("list"));
}
