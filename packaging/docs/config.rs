//! stead-app.toml(5) and stead.toml(5), from the tables that the programs themselves read files by.
//! Owns: what stands around those tables.
//! Never: says what a key means.

use stead::config::keys::{Default, Key, SECTIONS, Who};
use stead::config::settings::SETTINGS;

use crate::roff::Page;

const MANUAL: &str = "stead configuration";

const APPS: &str = "\
Such a file describes apps for `stead start`, `stead check` and `stead plan`; the files of `/etc/stead/apps.d` and \
`/usr/lib/stead/apps.d` are started at boot, and each app in them names its `user`. `stead init` writes one to begin with.

It is TOML. Each app is an `[[app]]` table with the keys below. The same names are flags of stead-start(1) \
(`--memory-max`) and D-Bus properties (`MemoryMax`). Sizes are written as `64M`, times as `10s` or `500ms`. Relative \
paths are taken from the directory of the file. Unknown keys are refused; `stead check FILE` reports all mistakes at once.";

const EXAMPLE: &str = "\
[[app]]
name = \"api\"
run = \"server.js\"
user = \"www-data\"
instances = 4
memory_max = \"512M\"
max_memory_restart = \"400M\"

[app.env]
PORT = \"8080\"";

const DAEMON: &str = "\
What the daemon, steadd(8), is told. It is read when a daemon starts, which `stead upgrade` or `systemctl reload stead` \
has it do, with no app touched. A mistake in it is logged, and the rest counts; apps do not stand in it, but in files of \
`/etc/stead/apps.d`: see stead-app.toml(5).";

pub fn apps(date: &str) -> String {
    let mut page = Page::new("STEAD-APP.TOML", 5, date, MANUAL);
    page.section("Name").text("stead-app.toml - apps for stead to run");
    page.section("Description").text(APPS);
    page.section("Keys");
    for section in SECTIONS {
        page.subsection(section.title);
        section.keys.iter().for_each(|key| app_key(&mut page, key));
    }
    page.section("Examples").verbatim(EXAMPLE);
    page.section("See also").text("stead(1), stead-start(1), stead-check(1), stead.toml(5), steadd(8)");
    page.finish().to_owned()
}

fn app_key(page: &mut Page, key: &Key) {
    let default = match key.default {
        Default::Text(text) => format!(" Default: `{}`.", key.value_of(text)),
        Default::Unset => String::new(),
        Default::Derived(how) => format!(" Default: {how}."),
    };
    let who = match key.who {
        Who::Owner => String::new(),
        Who::Root => " Root only.".to_owned(),
        Who::RootFor(what) => format!(" Root only: {what}."),
    };
    page.item(&format!("`{}`", key.name), &format!("{}.{who}", key.help));
    if !key.doc.is_empty() {
        page.further(key.doc);
    }
    let kind = key.kind.describe();
    let kind = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
    page.further(&format!("{kind}.{default}"));
}

pub fn daemon(date: &str) -> String {
    let mut page = Page::new("STEAD.TOML", 5, date, MANUAL);
    page.section("Name").text("stead.toml - settings of the stead daemon");
    page.section("Synopsis").text("`/etc/stead/stead.toml`");
    page.section("Description").text(DAEMON);
    page.section("Keys");
    for setting in &SETTINGS {
        page.item(&format!("`{}`", setting.name), &format!("{}. {}", setting.help, setting.doc));
        page.further(&format!("Use {}. Default: `{}`.", setting.values, setting.default));
    }
    page.section("See also").text("stead(1), steadd(8), stead-app.toml(5)");
    page.finish().to_owned()
}
