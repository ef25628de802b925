//! The key directory of a satellite.
//!
//! Owns the files: the satellite's own secret key, the registry of authorized keys, and the access
//! key for whoever works on the satellite's machine. Only this user can read them.
//! [`skypipe_broker::keys`] owns the content of the registry.
//!
//! | file | what |
//! | --- | --- |
//! | `satellite` | 32 random bytes, from which the satellite's identity is derived |
//! | `authorized` | the registry of authorized keys, replaced as a whole at each change |
//! | `host` | an invitation that authenticates this machine, but opens no pipe before the phrase is given |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use skypipe_broker::keys::{HOST, KeyRegistry};
use skypipe_protocol::address::{Address, is_host};
use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::{Seed, SigningPair};
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{NewKey, Rights};
use zeroize::{Zeroize as _, Zeroizing};

use crate::randomness;
use crate::standard::NotPrinted;

/// The context string for deriving the satellite's identity.
const SATELLITE: &[u8] = b"skypipe 1 satellite";

/// The largest registry that is read, in bytes. That is far more than two thousand keys with sealed
/// keyrings of usual size.
const MAX_REGISTRY: u64 = 64 << 20;

/// The name of the owner's key.
const FIRST: &str = "first";

/// The longest access key that is read, in bytes.
const MAX_HOST: usize = 4096;

/// How much of the stack is overwritten, in bytes: several times what making keys takes.
const STACK: usize = 256 << 10;

/// The key directory of one satellite, opened.
#[derive(Debug)]
pub(crate) struct Keys {
    directory: PathBuf,
    /// The key pair by which clients recognise the satellite.
    pub identity: SigningPair,
}

/// Whether this data directory holds keys.
pub(crate) fn are_in(data: &Path) -> bool {
    directory(data).join("authorized").exists()
}

fn directory(data: &Path) -> PathBuf {
    data.join("keys")
}

impl Keys {
    /// Opens the keys below a data directory. If they do not exist, this makes the directory and
    /// the satellite's own key.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let directory = directory(data);
        let cannot = || format!("cannot keep keys in {}", directory.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(cannot)?;
        let found = fs::metadata(&directory).with_context(cannot)?;
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
            bail!(
                "others can access {}; to stop that: chmod 700",
                directory.display()
            );
        }
        let path = directory.join("satellite");
        if !path.exists() {
            replace(&path, &*random()?).with_context(cannot)?;
        }
        let mut bytes = Zeroizing::new([0; 32]);
        File::open(&path)
            .and_then(|mut file| file.read_exact(&mut *bytes))
            .with_context(cannot)?;
        let identity = SigningPair::derive(&Secret::from(bytes), SATELLITE);
        Ok(Self {
            directory,
            identity,
        })
    }

    /// Reads the registry; `None` if this satellite has never had one.
    pub(crate) fn registry(&self) -> anyhow::Result<Option<KeyRegistry>> {
        let path = self.directory.join("authorized");
        let cannot = || format!("cannot read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(cannot)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_REGISTRY)
            .read_to_end(&mut bytes)
            .with_context(cannot)?;
        let registry = KeyRegistry::decode(&bytes).map_err(anyhow::Error::msg);
        registry.with_context(cannot).map(Some)
    }

    /// Replaces the registry on disk. The new one is synced when this returns.
    pub(crate) fn save(&self, registry: &[u8]) -> io::Result<()> {
        replace(&self.directory.join("authorized"), registry)
    }

    /// Makes the first registry, with the owner's key and this machine's access key. `tell`
    /// receives the owner's invitation, once; no copy is kept. The registry is written after that.
    /// If nobody received the invitation, the satellite therefore starts over.
    pub(crate) fn found(
        &self,
        bound: SocketAddr,
        address: &Address,
        unix_time: u64,
        tell: impl FnOnce(&str) -> Result<(), NotPrinted>,
    ) -> anyhow::Result<KeyRegistry> {
        let registry = self.make_first_registry(bound, address, unix_time, tell);
        wipe_stack();
        registry
    }

    /// Makes the first registry, for an owner whose keys were made on another machine. It also gets
    /// this machine's access key.
    pub(crate) fn found_by(
        &self,
        owner: &PublicKeys,
        bound: SocketAddr,
        unix_time: u64,
    ) -> anyhow::Result<KeyRegistry> {
        let mut registry = self.begin_registry(bound, unix_time)?;
        enroll(&mut registry, FIRST, owner, unix_time)?;
        self.save(&registry.encode())
            .context("cannot keep the keys")?;
        Ok(registry)
    }

    /// Never inlined into its caller: everything that it leaves on the stack then lies below the
    /// caller's frame.
    #[inline(never)]
    fn make_first_registry(
        &self,
        bound: SocketAddr,
        address: &Address,
        unix_time: u64,
        tell: impl FnOnce(&str) -> Result<(), NotPrinted>,
    ) -> anyhow::Result<KeyRegistry> {
        let mut registry = self.begin_registry(bound, unix_time)?;
        let owner = self.member(&mut registry, FIRST, Kind::Owner, address, unix_time)?;
        tell(&owner.encode()).context("cannot print the first invitation")?;
        self.save(&registry.encode())
            .context("cannot keep the keys")?;
        Ok(registry)
    }

    /// Makes a registry that holds only this machine's access key. The access key is saved, too.
    fn begin_registry(&self, bound: SocketAddr, unix_time: u64) -> anyhow::Result<KeyRegistry> {
        let mut registry = KeyRegistry::default();
        let host = self.enroll_host(&mut registry, bound, unix_time)?;
        self.keep_host(&host)?;
        Ok(registry)
    }

    /// Enrolls a new access key for this machine.
    fn enroll_host(
        &self,
        registry: &mut KeyRegistry,
        bound: SocketAddr,
        unix_time: u64,
    ) -> anyhow::Result<Token> {
        let (keys, _) = registry.page(None, usize::MAX);
        let is_free = |name: &String| keys.iter().all(|key| key.name != *name);
        let others = (2..).map(|number: u64| format!("{HOST}-{number}"));
        let name = std::iter::once(HOST.to_owned()).chain(others).find(is_free);
        let name = name.unwrap_or_default();
        self.member(
            registry,
            &name,
            Kind::Phrase,
            &local_address(bound),
            unix_time,
        )
    }

    fn keep_host(&self, host: &Token) -> anyhow::Result<()> {
        replace(&self.directory.join("host"), host.encode().as_bytes())
            .context("cannot keep the access key of this machine")
    }

    /// Makes a new access key for this machine if the file of the previous one was emptied. By
    /// emptying the file, whoever works on this machine says that the key is of no use any more,
    /// for example after a revocation.
    pub(crate) fn mend_host(
        &self,
        registry: &mut KeyRegistry,
        bound: SocketAddr,
        unix_time: u64,
    ) -> anyhow::Result<()> {
        let found = fs::metadata(self.directory.join("host"));
        if !found.is_ok_and(|found| found.is_file() && found.len() == 0) {
            return Ok(());
        }
        let host = self.enroll_host(registry, bound, unix_time)?;
        self.save(&registry.encode())
            .context("cannot keep the keys")?;
        self.keep_host(&host)
    }

    /// Updates the address in this machine's access key to the address at which the satellite is
    /// bound now. That address may change at each start. A removed access key stays removed.
    pub(crate) fn lead_host(&self, bound: SocketAddr) -> anyhow::Result<()> {
        let cannot = "cannot keep the access key of this machine";
        let path = self.directory.join("host");
        let mut text = Zeroizing::new(String::with_capacity(MAX_HOST));
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened
                .and_then(|file| file.take(MAX_HOST as u64).read_to_string(&mut text))
                .context(cannot)?,
        };
        let Ok(mut host) = Token::parse(&text) else {
            return Ok(());
        };
        host.address = local_address(bound);
        let moved = host.encode();
        if *moved == *text {
            return Ok(());
        }
        replace(&path, moved.as_bytes()).context(cannot)
    }

    /// Enrolls a new key with all rights, and returns its invitation.
    fn member(
        &self,
        registry: &mut KeyRegistry,
        name: &str,
        kind: Kind,
        address: &Address,
        unix_time: u64,
    ) -> anyhow::Result<Token> {
        let seed = Seed::new(Secret::from(random()?));
        let public_keys = public_keys_of(&seed);
        // Wipe the stack first: the registry's unused fields would otherwise receive bytes that
        // earlier calls left there.
        wipe_stack();
        enroll(registry, name, &public_keys, unix_time)?;
        Ok(Token {
            address: address.clone(),
            kind,
            satellite: self.identity.public,
            seed,
            expires: None,
        })
    }
}

/// Never inlined into its caller: everything that it leaves on the stack then lies below the
/// caller's frame.
#[inline(never)]
fn public_keys_of(seed: &Seed) -> PublicKeys {
    PublicKeys::of(seed)
}

/// Enrolls the owner of these public keys with all rights.
fn enroll(
    registry: &mut KeyRegistry,
    name: &str,
    public_keys: &PublicKeys,
    unix_time: u64,
) -> anyhow::Result<()> {
    let new = NewKey {
        name: name.to_owned(),
        public: public_keys.public,
        encryption: public_keys.encryption,
        rights: Rights::ALL,
        pipes: Vec::new(),
        expires: None,
        quota: None,
        epoch: 0,
        sealed_keyring: None,
        attestation: None,
    };
    let enrolled = registry.invite(new, unix_time);
    enrolled.map_err(|fault| anyhow::Error::msg(fault.to_string()))?;
    Ok(())
}

/// The address under which others reach a satellite that is bound here, as far as this machine can
/// tell. If the satellite listens on all addresses, this is the machine's host name.
pub(crate) fn reached_at(bound: SocketAddr) -> Address {
    if !bound.ip().is_unspecified() {
        return bound.into();
    }
    let system = rustix::system::uname();
    match system.nodename().to_str() {
        Ok(name) if is_host(name) => Address::tcp(name, bound.port()),
        _ => local_address(bound),
    }
}

/// The address under which the satellite is reached from its own machine.
fn local_address(bound: SocketAddr) -> Address {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port()).into()
}

/// Overwrites what calls that have returned left on the stack. Secrets are wiped in place, but
/// moving a value leaves a copy behind. Part of such a copy may stay for as long as the process
/// runs.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what it is about")]
fn wipe_stack() {
    let mut below = [0_u8; STACK];
    below.zeroize();
    std::hint::black_box(&mut below);
}

fn random() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    randomness::fill(&mut *bytes).context("the system provides no randomness")?;
    Ok(bytes)
}

/// Replaces a file, readable for this user alone. After a crash, either the old or the new file is
/// there, complete.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::Holds;

    use super::*;

    #[test]
    fn an_address_is_that_of_the_machine() {
        let bound = |text: &str| text.parse().unwrap();
        assert_eq!(
            reached_at(bound("10.0.0.5:9000")).to_string(),
            "10.0.0.5:9000"
        );
        assert_eq!(reached_at(bound("[fe80::1]:9")).to_string(), "[fe80::1]:9");
        assert!(
            reached_at(bound("0.0.0.0:9000"))
                .to_string()
                .ends_with(":9000")
        );
        assert!(!reached_at(bound("[::]:9000")).to_string().starts_with('['));
        assert_eq!(
            local_address(bound("0.0.0.0:9000")).to_string(),
            "127.0.0.1:9000"
        );
        assert_eq!(local_address(bound("[::]:9000")).to_string(), "[::1]:9000");
    }

    #[test]
    fn the_first_invitation_is_told_and_not_kept() {
        let data = tempfile::tempdir().unwrap();
        let keys = Keys::open(data.path()).unwrap();
        assert!(keys.registry().unwrap().is_none() && !are_in(data.path()));
        let mut told = String::new();
        let bound = "127.0.0.1:9000".parse().unwrap();
        let registry = keys.found(bound, &Address::tcp("sky.example.org", 9000), 7, |text| {
            told = text.to_owned();
            Ok(())
        });
        let registry = registry.unwrap();
        let token = Token::parse(&told).unwrap();
        assert_eq!(token.address, Address::tcp("sky.example.org", 9000));
        assert_eq!(token.satellite, keys.identity.public);
        assert!(registry.admit(&token.seed.identity().public, 8).is_some());
        assert!(are_in(data.path()));
        let again = Keys::open(data.path()).unwrap();
        assert_eq!(again.identity, keys.identity);
        assert_eq!(again.registry().unwrap(), Some(registry));
        for entry in fs::read_dir(data.path().join("keys")).unwrap() {
            let path = entry.unwrap().path();
            let kept = fs::read(&path).unwrap();
            let secret = token.seed.secret().as_bytes();
            assert!(!kept.windows(32).any(|part| part == secret), "{path:?}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_owner_from_elsewhere_is_enrolled_and_no_secret_of_theirs_is_there() {
        let data = tempfile::tempdir().unwrap();
        let keys = Keys::open(data.path()).unwrap();
        let seed = Seed::new(Secret::from(random().unwrap()));
        let bound = "127.0.0.1:9000".parse().unwrap();
        let registry = keys.found_by(&PublicKeys::of(&seed), bound, 7).unwrap();
        assert!(registry.admit(&seed.identity().public, 8).is_some());
        let (listed, _) = registry.page(None, 9);
        let listed = listed.iter().map(|key| key.info(false, Holds::default()));
        let all = listed.map(|key| (key.name, key.rights));
        let all: Vec<_> = all.collect();
        assert_eq!(
            all,
            ["first", "host"].map(|name| (name.to_owned(), Rights::ALL))
        );
        assert_eq!(keys.registry().unwrap(), Some(registry));
        let host = fs::read_to_string(data.path().join("keys/host")).unwrap();
        assert_eq!(Token::parse(&host).unwrap().kind, Kind::Phrase);
    }

    #[test]
    fn who_empties_the_file_of_the_access_key_gets_another_one() {
        let data = tempfile::tempdir().unwrap();
        let keys = Keys::open(data.path()).unwrap();
        let bound = "127.0.0.1:9000".parse().unwrap();
        let owner = Seed::new(Secret::from(random().unwrap()));
        let mut registry = keys.found_by(&PublicKeys::of(&owner), bound, 7).unwrap();
        let file = data.path().join("keys/host");
        let key = || Token::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let names = |registry: &KeyRegistry| -> Vec<String> {
            let (listed, _) = registry.page(None, 9);
            listed.iter().map(|key| key.name.clone()).collect()
        };
        let before = key();
        keys.mend_host(&mut registry, bound, 8).unwrap();
        assert_eq!((key(), names(&registry).len()), (before.clone(), 2));
        fs::write(&file, "").unwrap();
        keys.mend_host(&mut registry, bound, 9).unwrap();
        // The lost key stays authorized until it is revoked.
        assert_eq!(names(&registry), ["first", "host", "host-2"]);
        let after = key();
        assert_ne!(after.seed, before.seed);
        assert_eq!(
            (after.kind, after.satellite),
            (before.kind, before.satellite)
        );
        assert!(registry.admit(&after.seed.identity().public, 10).is_some());
        assert_eq!(keys.registry().unwrap(), Some(registry.clone()));
        // A removed access key stays removed.
        fs::remove_file(&file).unwrap();
        keys.mend_host(&mut registry, bound, 10).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn without_a_reader_of_the_invitation_there_is_no_roll() {
        let data = tempfile::tempdir().unwrap();
        let keys = Keys::open(data.path()).unwrap();
        let bound = "127.0.0.1:9000".parse().unwrap();
        let deaf = |_: &str| Err(NotPrinted::Unread);
        assert!(
            keys.found(bound, &Address::tcp("127.0.0.1", 9000), 7, deaf)
                .is_err()
        );
        assert!(keys.registry().unwrap().is_none());
    }

    #[test]
    fn a_directory_that_others_see_is_refused() {
        let data = tempfile::tempdir().unwrap();
        DirBuilder::new()
            .mode(0o755)
            .create(data.path().join("keys"))
            .unwrap();
        assert!(Keys::open(data.path()).is_err());
    }
}
