//! Tests on other releases of Debian, unpacked from their packages with every module that looks up
//! names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::network::Network;
use crate::common::outcome::Outcome;
use crate::common::{Environment, SKYPIPE, parts};
use crate::names::machine::port;

/// The time limit for downloading and unpacking the packages.
const DEADLINE: Duration = Duration::from_secs(240);

/// Unpacks `$RELEASE` into `$ROOT`, from this machine's own source of packages. This is done once.
const UNPACK: &str = r#"
exec 9>"$ROOT.lock"
flock 9
test -e "$ROOT/done" && exit 0
apt="$ROOT.apt"
rm -rf "$ROOT" "$apt"
mkdir -p "$ROOT" "$apt/etc/apt/apt.conf.d" "$apt/etc/apt/preferences.d" "$apt/var/lib/dpkg" \
    "$apt/var/lib/apt/lists/partial" "$apt/var/cache/apt/archives/partial"
: > "$apt/var/lib/dpkg/status"
from=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/$' | head -n 1)
test -n "$from" || { echo 'this is no Debian, or apt-get update was never run' >&2; exit 1; }
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $from $RELEASE main" > "$apt/etc/apt/sources.list"
get() {
    apt-get -q -o Dir="$apt" -o Dir::State::status="$apt/var/lib/dpkg/status" -o Acquire::Retries=3 \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
get update
cd "$apt"
get download base-files busybox-static libc6 libc-bin libcap2 libnss-mdns libnss-myhostname \
    libnss-mymachines libnss-resolve libnss-systemd
for package in *.deb; do dpkg -x "$package" "$ROOT"; done
for file in etc/hosts etc/nsswitch.conf etc/resolv.conf etc/passwd skypipe; do : > "$ROOT/$file"; done
mkdir -p "$ROOT/dev" "$ROOT/proc" "$ROOT/home"
rm -rf "$apt"
touch "$ROOT/done"
"#;

/// Enters the root `$0` with the test's own files in `$1`, and runs the remaining arguments.
const ENTRANCE: &str = r#"
root=$0
for file in hosts nsswitch.conf resolv.conf passwd; do
    mount --bind "$1/etc/$file" "$root/etc/$file" || exit 99
done
mount --bind /dev "$root/dev" && mount --bind /proc "$root/proc" && mount --bind "$1" "$root/home" &&
    mount --bind "$2" "$root/skypipe" || exit 99
shift 2
exec chroot "$root" "$@"
"#;

/// The `hosts` lines of `/etc/nsswitch.conf` on different Debian systems.
const HOSTS: [&str; 4] = [
    "files mdns4_minimal [NOTFOUND=return] dns",
    "files myhostname dns",
    "resolve [!UNAVAIL=return] files dns",
    "mymachines files dns",
];

/// The root of a release; `None` if it cannot be downloaded.
fn root(home: &Environment, release: &str) -> Option<PathBuf> {
    if !parts::are_there() {
        return None;
    }
    if !cfg!(target_feature = "crt-static") {
        let _ =
            parts::do_without("the program is not linked statically here: it is for one release");
        return None;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}"));
    let mut command = Command::new("sh");
    command.args(["-euc", UNPACK]);
    let unpack = home.run(command, "unpack a Debian").patient(DEADLINE);
    let unpack = unpack.var("RELEASE", release).var("ROOT", &root).done();
    if unpack.code != Some(0) {
        let _ = parts::do_without(&format!("Debian {release} cannot be had: {unpack}"));
        return None;
    }
    Some(root)
}

struct Debian {
    home: Environment,
    root: PathBuf,
    _network: Network,
}

impl Debian {
    fn new(release: &str) -> Option<Self> {
        let home = Environment::here_within(DEADLINE);
        // The packages come from outside the test's network, so they are downloaded first.
        let root = root(&home, release)?;
        std::fs::create_dir(home.home().join("etc")).expect("there is room");
        home.put("etc/hosts", "127.0.0.1 localhost sky.test\n");
        home.put(
            "etc/resolv.conf",
            "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
        );
        home.put("etc/passwd", "root:x:0:0::/home:/bin/sh\n");
        Some(Self {
            home,
            root,
            _network: Network::enter(),
        })
    }

    /// Runs `skypipe --check` on that release.
    fn check(&self, satellite: Option<&str>, path: &str) -> Outcome {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTRANCE])
            .args([&self.root, self.home.home(), Path::new(SKYPIPE)])
            .args(["/bin/busybox", "env", &format!("PATH={path}"), "/skypipe"])
            .args(["--connect-timeout", "200ms", "--check"]);
        let run = self.home.run(command, "skypipe --check, there");
        match satellite {
            Some(satellite) => run.var("SATELLITE", satellite).var("HOME", "/home").done(),
            None => run.without("HOME").done(),
        }
    }
}

/// Tries every way to look up a name on that release.
fn tries(release: &str) {
    let Some(debian) = Debian::new(release) else {
        return;
    };
    let satellite = debian.home.satellite_at("127.0.0.1:0", &[]);
    let port = port(satellite.endpoint());
    let known = format!("tcp://sky.test:{port}");
    for hosts in HOSTS {
        for users in ["files", "files systemd", "systemd files"] {
            let text = format!("passwd: {users}\ngroup: {users}\nhosts: {hosts}\n");
            debian.home.put("etc/nsswitch.conf", text);
            // With the release's own getent, and without it.
            for path in ["/usr/bin:/bin", "/nowhere"] {
                debian.check(Some(&known), path).success();
                let outcome = debian.check(None, path);
                outcome.told(4, "no satellite is running on this machine");
            }
        }
        for path in ["/usr/bin:/bin", "/nowhere"] {
            let nobody = debian.check(Some("tcp://nobody.local:9"), path);
            nobody.told(4, "nobody.local cannot be looked up");
        }
    }
    // The user is in no file, but systemd's module knows root.
    debian.home.put("etc/passwd", "");
    let is_home = "no satellite is running on this machine";
    debian.check(None, "/usr/bin:/bin").told(4, is_home);
    debian.check(None, "/nowhere").told(2, "set HOME");
    finds_itself(&debian, port);
}

/// The machine's name is in no file, but `myhostname` knows it.
fn finds_itself(debian: &Debian, port: &str) {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let text = "passwd: files\nhosts: files myhostname dns\n";
    debian.home.put("etc/nsswitch.conf", text);
    let _there = debian.home.satellite_at(&format!("127.0.0.2:{port}"), &[]);
    let itself = format!("tcp://{name}:{port}");
    debian.check(Some(&itself), "/usr/bin:/bin").success();
}

#[test]
fn nothing_crashes_on_debian_11_whatever_it_asks_for_names() {
    tries("bullseye");
}

#[test]
fn nothing_crashes_on_debian_13_whatever_it_asks_for_names() {
    tries("trixie");
}
