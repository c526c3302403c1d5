//! Who typed the command.
//! Owns: root or not, and under sudo whom the apps belong to and what that person's PATH is.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid, User, geteuid};

/// How long a login shell may take to say its PATH. Some start slowly; one that asks a question never ends.
const SHELL_PATIENCE: Duration = Duration::from_secs(3);

/// The person behind the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub root: bool,
    /// Under sudo, the name of who typed it: their apps run as them.
    pub sudo_user: Option<String>,
}

impl Caller {
    /// From the process and its environment.
    pub fn new(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let root = geteuid().is_root();
        // The variable is believed because only root's own environment is at stake: whoever can set it for a root
        // process can also ask for any user by name.
        let uid = variable("SUDO_UID").and_then(|uid| uid.parse::<u32>().ok()).filter(|uid| *uid != 0);
        let sudo_user = uid.filter(|_| root).map(|uid| name_of(Uid::from_raw(uid)));
        Self { root, sudo_user }
    }

    /// Whom apps run as that do not say: who asked.
    pub fn default_user(&self) -> String {
        match &self.sudo_user {
            Some(user) => user.clone(),
            None => name_of(geteuid()),
        }
    }
}

/// A uid without a name is as good to `user`.
fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    }
}

/// The PATH of a user's interactive login shell, which is where nvm and its like put node. None if the shell says
/// nothing within three seconds.
pub fn login_path(user: &str) -> Option<String> {
    let user = User::from_name(user).ok()??;
    let shell = if user.shell.as_os_str().is_empty() { "/bin/sh".as_ref() } else { user.shell.as_os_str() };
    // In a session of its own (setsid), or an interactive shell would take the terminal away from us. runuser -u starts
    // neither a login nor a PAM session. Profiles may print, so the answer is marked.
    let mut child = Command::new("setsid")
        .args(["--wait", "runuser", "-u", &user.name, "--"])
        .arg(shell)
        .args(["-l", "-i", "-c", "printf '\\nSTEAD_PATH=%s\\n' \"$PATH\""])
        .env_clear()
        // Debian has runuser in sbin. The shell's own start files decide what becomes of this.
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", &user.dir)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .env("SHELL", shell)
        .env("TERM", "dumb")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // What is not UTF-8 is no path that could be searched as text; then there is no answer.
        let _ = answer.send(stdout.read_to_string(&mut text).ok().map(|_| text));
    });
    let text = answered.recv_timeout(SHELL_PATIENCE).ok().flatten();
    // Dead by now, or hanging with whatever its profile started; in both cases nothing is wanted from it any more. The
    // group is its own since setsid, and the child is not reaped yet, so the number is still its.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let _ = child.wait();
    let text = text?;
    let path = text.lines().rev().find_map(|line| line.strip_prefix("STEAD_PATH="))?;
    Some(path.to_owned()).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sudo_uid_of_root_is_nobody_else() {
        let caller = Caller::new(&|name| (name == "SUDO_UID").then(|| "0".to_owned()));
        assert_eq!(caller.sudo_user, None);
    }

    #[test]
    fn a_login_shell_says_its_path_whatever_else_it_prints() {
        // runuser(1) is for root; root's own shell is as good as anybody's.
        if geteuid().is_root() && std::path::Path::new("/usr/sbin/runuser").exists() {
            let path = login_path("root").expect("root has a shell that answers");
            assert!(path.split(':').any(|directory| directory.ends_with("/bin")), "{path}");
        }
        assert_eq!(login_path("no-such-user"), None);
    }
}
