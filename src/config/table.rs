//! The table of keys: name, type, default, who may set it, what it does.
//! Owns: the only list of keys there is, with the section of `sandbox`. A key exists by standing here and being read in
//! `resolve`.
//! Never: code. What a kind of value looks like is in `fields`.

use super::keys::{Default, Key, Kind, Section, Who};

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    default: Default,
    help: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, who: Who::Owner, help, doc }
}

const fn by(who: Who, key: Key) -> Key {
    Key { who, ..key }
}

use Default::{Derived, Text, Unset};

/// Everything that can stand under `[[app]]`.
pub static SECTIONS: &[Section] = &[
    Section {
        title: "What runs",
        keys: &[
            key(
                "name",
                Kind::Text,
                Derived("the file name in `run`, without its extension"),
                "What the app is called",
                "Letters, digits, `.`, `_` and `-`, at most 64; not `all`, not only digits.",
            ),
            key(
                "namespace",
                Kind::Text,
                Text("default"),
                "A group of apps, selected by `@namespace`",
                "Made like a name.",
            ),
            key(
                "run",
                Kind::Run,
                Unset,
                "The script, program or command line to run",
                "A text that names a file is that script or program; a text with white space or shell characters is a \
                 command line, run as `/bin/sh -c \"exec …\"`; any other is looked up in PATH. A list is exactly the \
                 program and its arguments. A plain command line, such as `node server.js`, needs no shell and gets \
                 none. Required.",
            ),
            key("args", Kind::Words, Unset, "Arguments after those in `run`", ""),
            key(
                "interpreter",
                Kind::Text,
                Derived("by the extension of the script"),
                "What runs the script: a program in PATH, a path, or \"none\"",
                "By extension: `.js`, `.mjs`, `.cjs` and `.ts` node, `.py` python3, `.rb` ruby, `.sh` bash or sh, \
                 `.pl` perl, `.php` php. Any other file is executed itself, as with \"none\".",
            ),
            key("interpreter_args", Kind::Words, Unset, "Arguments of the interpreter, before the script", ""),
            key(
                "shown",
                Kind::Text,
                Derived("`run` and `args` as written"),
                "What views show as the app's command",
                "",
            ),
            key(
                "cwd",
                Kind::Path,
                Derived("the directory of the config file"),
                "The directory it runs in",
                "A relative path is taken from the directory of the config file, as in every key with a path.",
            ),
            key(
                "env",
                Kind::Env,
                Unset,
                "Environment variables",
                "A table, `[app.env]`. Values are text, whole numbers or booleans. They win over those of `env_file`.",
            ),
            key(
                "env_file",
                Kind::Path,
                Unset,
                "A file of NAME=value lines, read before each run",
                "Read as the app's user.",
            ),
            key(
                "pid_file",
                Kind::Path,
                Unset,
                "A file with the process id of what serves, for programs that look for one",
                "Written when an instance is ready, and removed when it is gone, as the app's user. With several \
                 instances its name gets their numbers: `api-0.pid`, `api-1.pid`.",
            ),
            key(
                "instance_var",
                Kind::Text,
                Text("NODE_APP_INSTANCE"),
                "The variable that holds the number of the instance, from 0",
                "",
            ),
            key(
                "increment_var",
                Kind::Text,
                Unset,
                "A variable that is a number, to which that of the instance is added",
                "`PORT`, with `PORT = \"3000\"` in `env`, is 3000 for the first instance and 3001 for the second. One that is \
                 not set counts from 0.",
            ),
            key(
                "profile",
                Kind::Profiles,
                Unset,
                "Variables for one occasion, chosen by `--env NAME`",
                "`[app.profile.production.env]` is laid over `[app.env]` by `stead start FILE --env production`.",
            ),
        ],
    },
    Section {
        title: "As whom",
        keys: &[
            by(
                Who::Root,
                key(
                    "user",
                    Kind::Account,
                    Derived("who starts it; under sudo, who called sudo"),
                    "The user it runs as",
                    "",
                ),
            ),
            by(Who::Root, key("group", Kind::Account, Derived("the user's own"), "The group it runs as", "")),
            by(Who::Root, key("groups", Kind::Accounts, Derived("the user's own"), "Supplementary groups", "")),
            by(
                Who::Root,
                key(
                    "capabilities",
                    Kind::Words,
                    Unset,
                    "Capabilities it keeps, as `CAP_NET_BIND_SERVICE` for ports below 1024",
                    "",
                ),
            ),
            by(
                Who::RootFor("false"),
                key(
                    "no_new_privs",
                    Kind::Bool,
                    Text("true"),
                    "Nothing it executes can gain privileges, setuid programs included",
                    "",
                ),
            ),
        ],
    },
    Section {
        title: "How many, and how they are replaced",
        keys: &[
            key("instances", Kind::Instances, Text("1"), "How many instances run", "\"max\" or 0: one for each CPU."),
            key(
                "autostart",
                Kind::Bool,
                Text("true"),
                "It is started by its file, and with all others",
                "`false`: `stead start FILE`, `stead start all`, a reload of the files and a boot only register it; it is \
                 `stopped` until somebody starts it by its name, and from then on comes up again with the machine.",
            ),
            key(
                "max_surge",
                Kind::Surge,
                Text("25%"),
                "How many instances more may be alive while they are replaced",
                "At least one.",
            ),
            key(
                "replace",
                Kind::Choice(&["auto", "new-first", "old-first", "by-port"]),
                Text("auto"),
                "What comes first in a restart: the new instance, or the end of the old one",
                "`new-first` touches nothing that runs before its replacement is ready. `old-first` is for what can \
                 run only once: queue workers, holders of locks. `auto` is new-first wherever that is possible, and \
                 says where not; `by-port` is that for an app that listens on a port, and old-first for any other.",
            ),
            key(
                "share_ports",
                Kind::Bool,
                Text("true"),
                "Instances share the ports they listen on, in the kernel",
                "`false`: stead leaves the app's sockets alone, and the app is replaced old-first.",
            ),
            key(
                "balance",
                Kind::Choice(&["round-robin", "hash", "off"]),
                Text("round-robin"),
                "Which instance gets a connection to a shared port",
                "`round-robin`: each ready instance in its turn. `hash`: by the client's address and port. `off`: the \
                 kernel's own choice among all that listen, ready or not.",
            ),
            by(
                Who::RootFor(
                    "ports below `net.ipv4.ip_unprivileged_port_start`, paths where its user cannot make a file",
                ),
                key(
                    "listen",
                    Kind::Listen,
                    Unset,
                    "Sockets that stead makes and passes to the app, fd 3 and on, as systemd does",
                    "`8080` is all addresses of the host; `127.0.0.1:8080`, `[::1]:8080`, `/run/api.sock` just that one. \
                     The app finds `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`. While an instance crashes or \
                     restarts, connections wait; once it is stopped, they are refused. A path belongs to the app's user and group, mode 0660, and \
                     is one socket for all instances; of the others each instance has its own.",
                ),
            ),
            key(
                "ready_on",
                Kind::Ready,
                Text("auto"),
                "What makes a new instance ready",
                "`auto`; `listen`: it listens on a port; `notify`: sd_notify READY=1; `message`: Node's \
                 `process.send('ready')`; `instant`: at once; `http://HOST:PORT/PATH`: a GET answers 2xx or 3xx; \
                 `tcp://HOST:PORT`: a connection is taken; a list of texts: this command exits 0.",
            ),
            key(
                "start_timeout",
                Kind::Span,
                Text("30s"),
                "How long a new instance may take to be ready, before it is killed",
                "",
            ),
        ],
    },
    Section {
        title: "How it stops",
        keys: &[
            key(
                "drain_timeout",
                Kind::Span,
                Text("10s"),
                "How long its connections may last once it gets no new ones, before it is told to stop",
                "Sooner if nothing waits to be accepted and every connection is idle: nothing on it is unread, unsent or \
                 unacknowledged, the app had the last word or was never asked anything, and it has been quiet for \
                 250 ms (1 s in the rare case that the kernel cannot tell who had the last word). At once if it \
                 listens on no port, or if no other instance listens on the same ports: then nobody would take the \
                 new connections.",
            ),
            key(
                "stop_signal",
                Kind::Signal,
                Derived("SIGTERM; SIGINT for node and bun"),
                "The signal that asks it to stop",
                "",
            ),
            key(
                "stop_timeout",
                Kind::Span,
                Text("10s"),
                "How long it may take to stop, before its whole cgroup is killed",
                "",
            ),
            key(
                "stop_scope",
                Kind::Choice(&["main", "all"]),
                Derived("main; all where a shell stays in front of the commands in `run`"),
                "Whom the stop signal goes to: the main process, or every process",
                "`all` suits `npm start` and its like.",
            ),
        ],
    },
    super::times::SECTION,
    Section {
        title: "What happens when it dies",
        keys: &[
            key(
                "restart",
                Kind::Choice(&["always", "on-failure", "never"]),
                Derived("always; never with `schedule`"),
                "Which ends are followed by a restart",
                "",
            ),
            key(
                "restart_delay",
                Kind::Span,
                Derived("at once, then longer with every death in a row, up to 15s"),
                "A fixed delay before each restart",
                "",
            ),
            key(
                "exp_backoff_restart_delay",
                Kind::Span,
                Unset,
                "The delay before the first restart, where each is half as long again as the one before",
                "Up to 15s, which is also the most that it can be. A run that was up for 30s starts the delays over. Not \
                 together with `restart_delay`.",
            ),
            key(
                "stop_exit_codes",
                Kind::Codes,
                Unset,
                "Exit codes after which it stays stopped, whatever `restart` says",
                "",
            ),
            key(
                "max_restarts",
                Kind::Count { min: 0, max: u32::MAX as i64 },
                Text("16"),
                "Early deaths in a row before stead gives up; 0: never",
                "",
            ),
            key("min_uptime", Kind::Span, Text("1s"), "A death before this, or before ready, is an early one", ""),
        ],
    },
    Section {
        title: "What it may use",
        keys: &[
            key(
                "memory_max",
                Kind::Bytes,
                Unset,
                "Memory of one instance, children included; over it the kernel kills the instance",
                "",
            ),
            key(
                "memory_swap_max",
                Kind::Bytes,
                Derived("0 with `memory_max`"),
                "Swap of one instance",
                "Needs `memory_max`.",
            ),
            key(
                "max_memory_restart",
                Kind::Bytes,
                Unset,
                "Memory beyond which an instance is replaced gracefully",
                "File cache is not counted. Must be less than `memory_max`.",
            ),
            key("cpu_max", Kind::Cpu, Unset, "CPU time of one instance", "`200%` is two cores."),
            key(
                "cpu_weight",
                Kind::Count { min: 1, max: 10_000 },
                Unset,
                "Share of the CPU when there is not enough for all",
                "Everything that says nothing has 100.",
            ),
            key(
                "tasks_max",
                Kind::Count { min: 1, max: 4_194_304 },
                Unset,
                "Processes and threads of one instance",
                "",
            ),
            by(
                Who::RootFor("below 0"),
                key("nice", Kind::Count { min: -20, max: 19 }, Unset, "Scheduling priority: 19 yields most", ""),
            ),
            by(
                Who::RootFor("below 0"),
                key(
                    "oom_score_adj",
                    Kind::Count { min: -1000, max: 1000 },
                    Text("0"),
                    "Whom the kernel kills first when the machine is out of memory: the highest",
                    "",
                ),
            ),
            key("umask", Kind::Umask, Text("022"), "Permissions that new files do not get", ""),
            by(
                Who::RootFor("more than the daemon's own limits"),
                key(
                    "rlimits",
                    Kind::Rlimits,
                    Unset,
                    "Limits of setrlimit(2), by name",
                    "A table, `[app.rlimits]`: `nofile = 65536`, `core = \"infinity\"`, `nofile = \"1024:65536\"` \
                     for soft and hard; `stack = \"64M\"` where bytes are meant.",
                ),
            ),
        ],
    },
    super::sandbox::SECTION,
    Section {
        title: "Logs",
        keys: &[
            key(
                "log_format",
                Kind::Choice(&["cri", "raw", "json", "journal", "none"]),
                Text("cri"),
                "How lines are kept",
                "`cri`: time, stream and line, as container runtimes write them. `raw`: the bytes as they came, one \
                 file for each stream. `json`: one object a line. `journal`: by journald, with STEAD_APP, \
                 STEAD_INSTANCE and a priority (standard error 3, else 6, or what `<N>` before a line says); \
                 `journalctl STEAD_APP=api` shows them. `none`: not at all.",
            ),
            key(
                "out_file",
                Kind::Path,
                Derived("in stead's log directory"),
                "Where output goes instead",
                "Opened as the app's user.",
            ),
            key(
                "error_file",
                Kind::Path,
                Derived("in stead's log directory"),
                "Where standard error goes instead, with `log_format = \"raw\"`",
                "Opened as the app's user.",
            ),
            key("log_max_size", Kind::Bytes, Text("64M"), "A log file that would grow larger is rotated; 0: never", ""),
            key("log_max_files", Kind::Count { min: 0, max: 1000 }, Text("8"), "How many rotated files are kept", ""),
            key(
                "log_compress",
                Kind::Bool,
                Text("true"),
                "Rotated files are compressed with zstd",
                "All but the newest, once the log has not been rotated for ten seconds.",
            ),
            key(
                "log_max_total",
                Kind::Bytes,
                Text("1G"),
                "How much all log files of the app may take",
                "Over it the oldest rotated ones go. 0: no limit but the host's, `log_max_total` of stead.toml.",
            ),
        ],
    },
];
