//! steadd(8): the daemon and its holder, for who operates them.
//! Owns: its prose. It has no flags that could be listed; what it reads is in stead.toml(5).

use crate::roff::Page;

const DESCRIPTION: &str = "\
steadd runs and supervises the apps that stead(1) starts: every decision is made in it, it keeps the logs, and it is what \
answers on D-Bus. It is never started by hand. Its parent, `stead-holder`, does that, and starts it again however it \
ends: the holder owns the apps' processes, pipes and exit statuses, so that the death of the daemon is nothing that an \
app would notice.

Where systemd runs, the holder is the main process of `stead.service`, and the apps live in the control group of \
`stead-apps.service`, which has no process of its own. Elsewhere the first `stead start` starts the holder in the \
background.

What is wanted, which apps, how many, up or down, is on disk before it is acted on: after a boot, what ran runs, and what \
was stopped stays stopped.";

const SIGNALS: [(&str, &str); 2] = [
    (
        "`SIGTERM`, as by `systemctl stop stead`",
        "To the holder: every app is stopped gracefully, within its own deadlines, then the daemon and the holder end. \
         The next start brings the apps back.",
    ),
    (
        "`SIGHUP`, as by `systemctl reload stead`",
        "To the holder: the daemon, then the holder, become the programs that are on disk now, and read stead.toml(5) \
         again. No app is touched. `stead upgrade` does the same.",
    ),
];

const FILES: [(&str, &str); 5] = [
    ("`/etc/stead/stead.toml`", "What the daemon is told: see stead.toml(5)."),
    (
        "`/etc/stead/apps.d/*.toml`, `/usr/lib/stead/apps.d/*.toml`",
        "Apps that are started at boot. A file in the first hides one of the same name in the second. They must be \
         root's, and name the `user` of each app: see stead-app.toml(5).",
    ),
    ("`/var/lib/stead`", "What is wanted, and what `stead save` has kept. Only root reads it."),
    (
        "`/var/log/stead`",
        "The logs of apps, a directory for each; `stead.log` in it is the daemon's own where there is no systemd.",
    ),
    (
        "`/run/stead`",
        "The holder's lock, the sockets `private`, for root, and `notify`, for sd_notify(3); and where stead.toml(5) says \
         so, `metrics.sock`.",
    ),
];

const GROUP: &str = "\
Root may do everything. Whoever is in the group `stead` may list all apps and read their logs, by a rule of polkit(8).";

const HARDENING: &str = "\
Nothing in `stead.service` confines the holder, for whatever does passes to every process that it starts, and so to every \
app: an app is confined by keys of its own, see stead-app.toml(5), and the daemon gives up by itself what it does not need \
(`stead doctor` lists the capabilities that it keeps). These are the lines of `systemd-analyze security stead.service`, and \
why they stay as they are:";

/// Each line of `systemd-analyze security` that the unit does not satisfy; tests/vm/packaged compares.
const EXPOSURE: [(&str, &str); 6] = [
    ("User, SupplementaryGroups, RemoveIPC", "The holder becomes the user of each app, which takes root."),
    (
        "CapabilityBoundingSet, NoNewPrivileges",
        "What is given up here no app could be given, by its `capabilities` or as an app of root's.",
    ),
    (
        "RootDirectory, PrivateDevices, PrivateMounts, PrivateTmp, PrivateNetwork, PrivateUsers, ProtectClock, \
         ProtectControlGroups, ProtectHome, ProtectHostname, ProtectKernelLogs, ProtectKernelModules, \
         ProtectKernelTunables, ProtectProc, ProcSubset, ProtectSystem",
        "Namespaces are inherited. An app has `protect_system`, `protect_home`, `private_tmp`, `read_only_paths`.",
    ),
    (
        "RestrictNamespaces, RestrictSUIDSGID, RestrictAddressFamilies, RestrictRealtime, SystemCallFilter, \
         SystemCallArchitectures, MemoryDenyWriteExecute, LockPersonality",
        "Filters of system calls are inherited; the last but one would end Node and Java. An app has `seccomp`, \
         `restrict_namespaces` and `no_new_privs`.",
    ),
    (
        "DeviceAllow, IPAddressDeny",
        "These go by control group: on a host with v1 hierarchies the apps are in the holder's for devices; and sockets that \
         stead makes for apps (`listen`) are of the control group that made them.",
    ),
    (
        "UMask",
        "Each app has a umask of its own. The control groups that the daemon makes must be readable to the apps in them: \
         Java, Go and Node read their limits there.",
    ),
];

pub fn page(date: &str) -> String {
    let mut page = Page::new("STEADD", 8, date, "stead administration");
    page.section("Name").text("steadd, stead-holder - keep programs running");
    page.section("Synopsis").text("`systemctl start stead`\n\n`/usr/lib/stead/stead-holder` [`--daemon` PATH]");
    page.section("Description").text(DESCRIPTION);
    page.section("Signals").items(&SIGNALS);
    page.section("Files").items(&FILES);
    page.section("Environment");
    page.item(
        "`STEAD_RUNTIME_DIR`, `STEAD_STATE_DIR`, `STEAD_LOG_DIR`, `STEAD_CONFIG_DIR`",
        "Other directories than those above. With a runtime directory of its own a daemon runs beside the host's: it \
         takes a control group of its own and no name on the bus.",
    );
    page.section("Permissions").text(GROUP);
    page.section("Hardening").text(HARDENING).items(&EXPOSURE);
    page.section("See also").text("stead(1), stead.toml(5), stead-app.toml(5), org.stead.Stead1(5), systemctl(1)");
    page.finish().to_owned()
}
