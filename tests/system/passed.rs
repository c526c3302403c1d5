//! Sockets that stead makes and passes: who finds them, what outlives what, and what stands in the way.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Stead, app, eventually, free_port};

/// An app of passed.py with these addresses and other keys.
fn toml(name: &str, listen: &[&str], keys: &str) -> String {
    format!(
        "[[app]]\nname = \"{name}\"\nrun = {:?}\nready_on = \"instant\"\nlisten = {listen:?}\n{keys}\n",
        app("passed.py")
    )
}

fn start(stead: &Stead, name: &str, listen: &[&str], keys: &str) -> crate::support::Said {
    let file = stead.file(&format!("{name}.toml"), &toml(name, listen, keys));
    stead.run(&["start", file.to_str().unwrap()])
}

/// What one connection is answered, however long that takes.
fn ask(mut connection: impl Read) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text.trim().to_owned()
}

fn ask_tcp(address: &str) -> String {
    ask(TcpStream::connect(address).unwrap())
}

fn ask_path(path: &Path) -> String {
    ask(UnixStream::connect(path).unwrap())
}

/// The parent of every app.
fn holder(stead: &Stead, instance: &str) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", stead.pid(instance))).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn daemon(holder: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap();
    let is_daemon = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "steadd\n");
    children.split_whitespace().find(is_daemon).unwrap().parse().unwrap()
}

/// How many sockets a process has open.
fn sockets(pid: i32) -> usize {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let text = |link: fs::DirEntry| fs::read_link(link.path()).unwrap_or_default().to_string_lossy().into_owned();
    links.flatten().map(text).filter(|text| text.starts_with("socket:")).count()
}

#[test]
fn an_app_finds_its_sockets_from_fd_3_on_in_the_order_of_the_spec() {
    let stead = Stead::new();
    let (port, other) = (free_port(), free_port());
    let path = stead.path("api.sock");
    let (v4, all) = (format!("127.0.0.1:{port}"), other.to_string());
    start(&stead, "p", &[&v4, path.to_str().unwrap(), &all], "").ok();
    let pid = stead.pid("p/0");
    assert_eq!(ask_tcp(&v4), format!("p/0 {pid} 127.0.0.1_{port}"));
    assert_eq!(ask_path(&path), format!("p/0 {pid} {}", path.display()));
    assert_eq!(ask_tcp(&format!("127.0.0.1:{other}")), format!("p/0 {pid} {other}"));
    if TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(ask_tcp(&format!("[::1]:{other}")), format!("p/0 {pid} {other}"));
    }
    let mut ports = vec![port, other];
    ports.sort_unstable();
    let row = stead.instance("p/0");
    assert_eq!(row["ports"], serde_json::json!(ports), "{row:#}");
    assert!(stead.run(&["show", "p"]).ok().out.contains(&port.to_string()));
}

#[test]
fn a_connection_to_a_killed_app_waits_and_is_answered_by_its_next_run() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    let path = stead.path("api.sock");
    start(&stead, "p", &[&v4, path.to_str().unwrap()], "restart_delay = \"1h\"").ok();
    let first = stead.pid("p/0");
    assert!(ask_tcp(&v4).contains(&first.to_string()));
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    assert!(eventually(|| stead.instance("p/0")["pid"].is_null()));
    let (tcp, unix) = (TcpStream::connect(&v4).unwrap(), UnixStream::connect(&path).unwrap());
    assert!(stead.instance("p/0")["pid"].is_null(), "it must be down while they connect");
    // It is not waited for any longer.
    stead.run(&["start", "p"]).ok();
    let (tcp, unix) = (ask(tcp), ask(unix));
    let next = stead.pid("p/0");
    assert_ne!(next, first);
    assert!(tcp.starts_with(&format!("p/0 {next} ")) && unix.starts_with(&format!("p/0 {next} ")), "{tcp} {unix}");
}

#[test]
fn node_listens_on_a_passed_fd_and_keeps_its_channel() {
    let stead = Stead::new();
    let port = free_port();
    let file = stead.file(
        "n.toml",
        &format!(
            "[[app]]\nname = \"n\"\nrun = {:?}\nready_on = \"message\"\nlisten = \"127.0.0.1:{port}\"\ninstances = 2\n",
            app("passed.js")
        ),
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let get = || {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        ask(connection)
    };
    let pids = [stead.pid("n/0"), stead.pid("n/1")];
    assert!(eventually(|| get().contains(&format!("pid {}", pids[0]))));
    assert!(eventually(|| get().contains(&format!("pid {}", pids[1]))));
    stead.run(&["restart", "n"]).ok();
    assert!(pids.iter().all(|pid| !get().contains(&format!("pid {pid}\n"))));
}

#[test]
fn an_ordinary_user_serves_port_80_and_owns_the_socket_of_its_path() {
    let stead = Stead::new();
    // An address of its own, as something may serve this machine's port 80.
    let v4 = "127.80.80.80:80";
    let path = stead.path("api.sock");
    start(&stead, "p", &[v4, path.to_str().unwrap()], "user = \"nobody\"").ok();
    assert!(ask_tcp(v4).starts_with("p/0 "));
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let file = fs::symlink_metadata(&path).unwrap();
    assert_eq!((file.uid(), file.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()));
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
}

#[test]
fn sockets_come_and_go_with_their_instances() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    let path = stead.path("api.sock");
    stead.run(&["start", "/bin/sleep", "--name", "other", "--ready-on", "instant", "--", "1000"]).ok();
    let holder = holder(&stead, "other/0");
    let before = sockets(holder);
    let left = |count: usize| eventually(|| sockets(holder) == before + count);
    start(&stead, "p", &[&v4, path.to_str().unwrap()], "").ok();
    assert!(left(2), "{} sockets more", sockets(holder) - before);
    stead.run(&["scale", "p", "3"]).ok();
    assert!(left(4), "{} sockets more", sockets(holder) - before);
    for slot in 0..3 {
        assert!(eventually(|| ask_tcp(&v4).starts_with(&format!("p/{slot} "))), "p/{slot} gets no connection");
    }
    stead.run(&["scale", "p", "1"]).ok();
    assert!(left(2));
    for _ in 0..20 {
        assert!(ask_tcp(&v4).starts_with("p/0 "));
    }
    // An address that has left the spec goes with the last run that had it.
    start(&stead, "p", &[&v4], "").ok();
    assert!(left(1) && eventually(|| !path.exists()));
    stead.run(&["stop", "p"]).ok();
    assert!(left(0));
    assert!(TcpStream::connect(&v4).is_err(), "nobody takes connections of what a person has stopped");
    start(&stead, "p", &[&v4, path.to_str().unwrap()], "").ok();
    assert!(left(2) && path.exists());
    stead.run(&["delete", "p"]).ok();
    assert!(left(0) && eventually(|| !path.exists()));
    let daemon = daemon(holder);
    let links = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count();
    for _ in 0..3 {
        start(&stead, "p", &[&v4], "").ok();
        stead.run(&["delete", "p"]).ok();
    }
    assert!(
        eventually(|| fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count() <= links),
        "the daemon keeps fds"
    );
}

#[test]
fn every_connection_is_answered_while_an_app_is_rolled() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    let path = stead.path("api.sock");
    start(&stead, "p", &[&v4, path.to_str().unwrap()], "instances = 2").ok();
    let said = std::thread::scope(|scope| {
        let roll = scope.spawn(|| stead.run(&["restart", "p"]));
        while !roll.is_finished() {
            assert!(ask_tcp(&v4).starts_with("p/"));
            assert!(ask_path(&path).starts_with("p/"));
        }
        roll.join().unwrap()
    });
    said.ok();
}

#[test]
fn the_sockets_outlive_the_daemon() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    let path = stead.path("api.sock");
    start(&stead, "p", &[&v4, path.to_str().unwrap()], "").ok();
    let node = fs::symlink_metadata(&path).unwrap().ino();
    let pid = stead.pid("p/0");
    kill(Pid::from_raw(daemon(holder(&stead, "p/0"))), Signal::SIGKILL).unwrap();
    assert!(ask_tcp(&v4).starts_with("p/0 "));
    assert!(ask_path(&path).starts_with("p/0 "));
    assert!(eventually(|| stead.run(&["list"]).code == Some(0)));
    assert_eq!(stead.pid("p/0"), pid);
    // A new daemon starts the app again, when it crashes, on the sockets that are there.
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(eventually(|| !crate::support::alive(pid)));
    assert!(ask_tcp(&v4).starts_with("p/0 "));
    assert!(ask_path(&path).starts_with("p/0 "));
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), node, "the same file");
    stead.run(&["delete", "p"]).ok();
    assert!(eventually(|| !path.exists()));
}

#[test]
fn an_address_that_cannot_be_had_is_told_before_anything_is_touched() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    start(&stead, "p", &[&v4], "").ok();
    let pid = stead.pid("p/0");
    let refused = |name: &str, listen: &str, why: &str| {
        let text = start(&stead, name, &[listen], "env = { A = \"1\" }").fails().text();
        let said = format!("{name}: cannot listen on {listen}: ");
        assert!(text.contains(&said) && text.contains(why), "{why} is not in\n{text}");
    };
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let me = std::process::id();
    refused("p", &taken, &format!("(pid {me}) has it"));
    refused("q", &v4, "app p has it");
    refused("p", "192.0.2.1:80", "no interface of this host");
    let file = stead.file("file", "");
    refused("p", file.to_str().unwrap(), "is no socket");
    std::os::unix::fs::symlink("/nowhere", stead.path("link")).unwrap();
    refused("p", stead.path("link").to_str().unwrap(), "is no socket");
    let live = stead.path("live.sock");
    let _live = UnixListener::bind(&live).unwrap();
    refused("p", live.to_str().unwrap(), &format!("(pid {me}) has it"));
    let missing = stead.path("missing/api.sock");
    let text = start(&stead, "p", &[missing.to_str().unwrap()], "").fails().text();
    assert!(text.contains("no directory"), "{text}");
    // One of several is enough, and the others leave nothing.
    let (free, path) = (free_port(), stead.path("free.sock"));
    start(&stead, "q", &[&format!("127.0.0.1:{free}"), path.to_str().unwrap(), &taken], "").fails();
    assert!(!path.exists());
    assert!(TcpStream::connect(("127.0.0.1", free)).is_err());
    assert_eq!(stead.pid("p/0"), pid);
    assert!(ask_tcp(&v4).starts_with("p/0 "));
    assert!(stead.list().iter().all(|row| row["app"] == "p"));
}

#[test]
fn an_old_socket_of_the_apps_user_is_replaced_and_no_link_of_anybody_else_is_followed() {
    let stead = Stead::new();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let own = |path: &Path| std::os::unix::fs::lchown(path, Some(nobody.uid.as_raw()), None).unwrap();
    let stale = stead.path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    start(&stead, "p", &[stale.to_str().unwrap()], "").ok();
    assert!(ask_path(&stale).starts_with("p/0 "));
    // Of somebody else it is not ours to remove.
    let foreign = stead.path("foreign.sock");
    drop(UnixListener::bind(&foreign).unwrap());
    own(&foreign);
    let text = start(&stead, "q", &[foreign.to_str().unwrap()], "").fails().text();
    assert!(text.contains(&format!("an old socket of uid {}", nobody.uid)), "{text}");
    // The user may plant what it likes in its own directory: root does not go there.
    let (private, home) = (stead.path("private"), stead.path("home"));
    for dir in [&private, &home] {
        fs::create_dir(dir).unwrap();
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    own(&home);
    let link = home.join("way");
    std::os::unix::fs::symlink(&private, &link).unwrap();
    own(&link);
    let text = start(&stead, "r", &[link.join("r.sock").to_str().unwrap()], "user = \"nobody\"").fails().text();
    assert!(text.contains("symbolic link"), "{text}");
    assert!(!private.join("r.sock").exists());
    // Where root itself has sent it, it goes.
    start(&stead, "r", &[private.join("r.sock").to_str().unwrap()], "user = \"nobody\"").ok();
    assert!(ask_path(&private.join("r.sock")).starts_with("r/0 "));
}

#[test]
fn an_app_that_only_takes_what_it_is_given_is_ready_after_a_second_and_replaced_new_first() {
    let stead = Stead::new();
    let v4 = format!("127.0.0.1:{}", free_port());
    let script = app("passed.py");
    stead.run(&["start", script.to_str().unwrap(), "--name", "p", "--listen", &v4]).ok();
    assert_eq!(stead.instance("p/0")["ready"], true);
    let said = stead.run(&["restart", "p"]).ok().text();
    assert!(!said.contains("old-first"), "{said}");
    assert!(ask_tcp(&v4).starts_with(&format!("p/0 {} ", stead.pid("p/0"))));
    let said = stead.run(&["start", script.to_str().unwrap(), "--name", "q", "--listen", &v4, "--ready-on", "listen"]);
    assert!(said.fails().text().contains("`listen`"));
}

#[test]
fn a_path_changes_hands_with_the_app() {
    let stead = Stead::new();
    let path = stead.path("api.sock");
    start(&stead, "p", &[path.to_str().unwrap()], "").ok();
    start(&stead, "p", &[path.to_str().unwrap()], "user = \"nobody\"").ok();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), nobody.uid.as_raw());
    assert!(ask_path(&path).starts_with("p/0 "));
}
