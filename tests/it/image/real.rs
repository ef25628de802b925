//! Tests with the real podman and the real registry.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skypipe::provision::image::{Architecture, Image, Registry, satellite};
use zeroize::Zeroizing;

use crate::common::wait::holds_within;
use crate::image::container::Podman;
use crate::image::network::Network;
use crate::image::parts;

const PASSWORD: &str = "pass-word-of-ours";

/// The static program to deploy.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_skypipe").into()
}

fn image() -> (Image, String) {
    let path = program();
    let said = Command::new(&path)
        .arg("--version")
        .output()
        .expect("it runs");
    let version = String::from_utf8(said.stdout)
        .expect("it is text")
        .trim()
        .to_owned();
    assert!(version.starts_with("skypipe "), "{version}");
    let bytes = satellite(Some(&path), Architecture::Amd64).expect("it is static");
    (Image::pack(&bytes, Architecture::Amd64), version)
}

#[test]
fn podman_loads_and_runs_it() {
    if !parts::are_there() {
        return;
    }
    let _network = Network::enter();
    let (image, version) = image();
    let podman = Podman::new();
    let loaded = podman.done(&["load"], &image.docker_archive("skypipe-satellite:1.0.0"));
    assert_eq!(loaded, "Loaded image: localhost/skypipe-satellite:1.0.0");
    let said = podman.done(
        &[
            "run",
            "--rm",
            "--network=none",
            "skypipe-satellite:1.0.0",
            "--version",
        ],
        b"",
    );
    assert_eq!(said, version);
    let format = "{{.Architecture}} {{.Os}} {{.Config.Entrypoint}} {{.Config.ExposedPorts}} {{.Config.Volumes}}";
    let found = podman.done(
        &["inspect", "--format", format, "skypipe-satellite:1.0.0"],
        b"",
    );
    assert_eq!(found, "amd64 linux [/skypipe] map[9000/tcp:{}] map[]");
}

#[test]
fn a_satellite_in_it_is_reached_and_keeps_its_data() {
    if !parts::are_there() {
        return;
    }
    let _network = Network::enter();
    let (image, _) = image();
    let podman = Podman::new();
    podman.done(&["load"], &image.docker_archive("sky:1"));
    let data = podman.path().join("data");
    fs::create_dir(&data).expect("there is room");
    let volume = format!("{}:/data", data.display());
    let mut run = vec![
        "run",
        "-d",
        "--name=sky",
        "-v",
        &volume,
        "-p",
        "127.0.0.1:9123:9000",
        "sky:1",
    ];
    run.extend([
        "--satellite",
        "0.0.0.0:9000",
        "--data",
        "/data",
        "--public",
        "127.0.0.1:9123",
    ]);
    podman.done(&run, b"");
    within(Duration::from_secs(30), || {
        TcpStream::connect("127.0.0.1:9123").is_ok()
    });
    within(Duration::from_secs(30), || data.join("keys/host").exists());
    podman.done(&["stop", "-t", "20", "sky"], b"");
    assert_eq!(
        podman.done(&["inspect", "--format", "{{.State.ExitCode}}", "sky"], b""),
        "0"
    );
}

/// Waits until a condition holds.
fn within(time: Duration, is_so: impl FnMut() -> bool) {
    assert!(holds_within(time, is_so), "it is not so after {time:?}");
}

/// Debian's registry, with a user x, on a free port in its own network.
struct Real {
    child: Child,
    log: PathBuf,
}

const HOST: &str = "127.0.0.1:5000";

impl Real {
    fn start(directory: &Path) -> Self {
        let password = Command::new("htpasswd")
            .args(["-Bbn", "x", PASSWORD])
            .output()
            .expect("it is installed");
        fs::write(directory.join("htpasswd"), password.stdout).expect("there is room");
        let config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\nstorage: {{filesystem: {{rootdirectory: {0}/blobs}}}}\n\
             http: {{addr: \"{HOST}\"}}\nauth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
            directory.display()
        );
        fs::write(directory.join("config.yml"), config).expect("there is room");
        let log = directory.join("log");
        let output = fs::File::create(&log).expect("there is room");
        let child = Command::new("docker-registry")
            .args(["serve", &directory.join("config.yml").display().to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("there are descriptors"))
            .stderr(output)
            .spawn()
            .expect("docker-registry is installed");
        let real = Self { child, log };
        within(Duration::from_secs(30), || TcpStream::connect(HOST).is_ok());
        real
    }

    /// How many requests with this method and path were logged.
    fn count(&self, request: &str) -> usize {
        let log = fs::read_to_string(&self.log).expect("it is there");
        log.lines().filter(|line| line.contains(request)).count()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn registry(password: &str) -> Registry {
    Registry {
        base: format!("http://{HOST}"),
        user: "x".into(),
        password: Zeroizing::new(password.into()),
    }
}

#[test]
fn a_registry_stores_it_and_podman_pulls_and_runs_it() {
    if !parts::are_there() {
        return;
    }
    let _network = Network::enter();
    let (image, version) = image();
    let podman = Podman::new();
    let real = Real::start(podman.path());
    let reference = image
        .push(&registry(PASSWORD), "sky/pipe", "1.0.0")
        .expect("it stores it");
    assert_eq!(reference, format!("{HOST}/sky/pipe@{}", image.digest()));
    let uploads = real.count("\"PUT /v2/sky/pipe/blobs/uploads/");
    assert_eq!(uploads, 2, "the layer and the configuration");
    let again = image
        .push(&registry(PASSWORD), "sky/pipe", "1.0.0")
        .expect("it is there");
    assert_eq!(again, reference);
    within(Duration::from_secs(10), || {
        real.count("\"PUT /v2/sky/pipe/manifests/1.0.0") == 2
    });
    assert_eq!(
        real.count("\"PUT /v2/sky/pipe/blobs/uploads/"),
        uploads,
        "nothing is sent twice"
    );
    let credentials = format!("--creds=x:{PASSWORD}");
    podman.done(
        &["pull", "--tls-verify=false", &credentials, &reference],
        b"",
    );
    let said = podman.done(
        &["run", "--rm", "--network=none", &reference, "--version"],
        b"",
    );
    assert_eq!(said, version);
}

#[test]
fn a_registry_refuses_a_wrong_password_in_its_own_words() {
    if !parts::are_there() {
        return;
    }
    let _network = Network::enter();
    let podman = Podman::new();
    let _real = Real::start(podman.path());
    let image = Image::pack(b"program", Architecture::Amd64);
    let refused = image
        .push(&registry("wrong-word"), "sky", "1")
        .expect_err("the password is wrong");
    assert_eq!(
        refused.sentence,
        format!(
            "the registry {HOST} does not accept the password of x: HTTP 401 (UNAUTHORIZED: authentication required)"
        )
    );
}
