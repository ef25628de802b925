//! The satellite's image on an engine.
//!
//! Owns how the image gets there, its name there, and its removal. The name of an image of ours
//! contains the beginning of its digest. A name therefore never moves to another image, and
//! leftover images are recognised by their names.

use std::time::Duration;

use serde::Deserialize;

use super::engine::{Engine, Fault};
use super::names::IMAGE;
use super::stream::loaded;
use crate::exit::Failure;
use crate::provision::http::Body;
use crate::provision::image::{Architecture, Image, satellite};
use crate::provision::{Plan, Talk, megabytes};

/// How long sending an image to an engine, or pulling one, may take.
const TRANSFER: Duration = Duration::from_secs(1800);

/// How many digits of the digest an image's name has.
const DIGITS: usize = 12;

/// An image on an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The image's name on the engine.
    pub name: String,
    /// The image's id on the engine.
    pub id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// Makes sure that the engine has the image to deploy.
///
/// # Errors
///
/// When there is no program for the engine's processor, or the engine does not accept or get the
/// image.
pub fn provide(engine: &Engine, plan: &Plan, talk: &mut dyn Talk) -> Result<Present, Failure> {
    match &plan.image {
        Some(reference) => pull(engine, reference, talk),
        None => send(engine, plan, talk),
    }
}

/// Packs the program and sends the image, unless the engine has it already.
fn send(engine: &Engine, plan: &Plan, talk: &mut dyn Talk) -> Result<Present, Failure> {
    let architecture = Architecture::read(&engine.architecture).ok_or_else(|| {
        Failure::failed(format!(
            "{} runs on {}, for which there is no satellite: name an image with --image",
            engine.place(),
            engine.architecture
        ))
    })?;
    talk.begin("pack the image");
    let image = Image::pack(
        &satellite(plan.binary.as_deref(), architecture)?,
        architecture,
    );
    let name = format!("{IMAGE}:{}", tag(&plan.version, &image.digest()));
    talk.done("");
    talk.begin("load the image");
    if let Some(Inspected { id, repo_tags }) = inspect(engine, &name)? {
        talk.done("it is there already");
        // Podman puts `localhost/` in front of the name. The name that a load would report is the
        // one that counts.
        let is_it = |whole: &String| is_ours(whole) && whole.ends_with(&name);
        let whole = repo_tags.unwrap_or_default().into_iter().find(is_it);
        let name = whole.unwrap_or(name);
        return Ok(Present { name, id });
    }
    let archive = image.docker_archive(&name);
    let body = Body::Bytes("application/x-tar", &archive);
    let answer = engine.ask(TRANSFER, "POST", "/images/load?quiet=1", body, &[200])?;
    let told = loaded(&answer.body)
        .map_err(|why| Failure::failed(format!("the engine does not take the image: {why}")))?;
    let name = told.unwrap_or(name);
    talk.done(&megabytes(archive.len()));
    named(engine, name)
}

/// Makes the engine pull an image from a registry.
fn pull(engine: &Engine, reference: &str, talk: &mut dyn Talk) -> Result<Present, Failure> {
    let reference = whole(reference)?;
    talk.begin("pull the image");
    let path = format!("/images/create?fromImage={reference}");
    let answer = engine.ask(TRANSFER, "POST", &path, Body::Empty, &[200]);
    let pulled = answer
        .map_err(|fault| fault.to_string())
        .and_then(|answer| loaded(&answer.body));
    pulled.map_err(|why| Failure::failed(format!("the engine cannot pull {reference}: {why}")))?;
    talk.done("");
    named(engine, reference)
}

fn named(engine: &Engine, name: String) -> Result<Present, Failure> {
    match inspect(engine, &name)? {
        Some(Inspected { id, .. }) => Ok(Present { name, id }),
        None => Err(Failure::failed(format!(
            "the engine took the image, and has no {name} now"
        ))),
    }
}

fn inspect(engine: &Engine, name: &str) -> Result<Option<Inspected>, Fault> {
    engine.get(&format!("/images/{name}/json"))
}

/// The reference with a tag or a digest. Without one, Docker would pull all tags.
fn whole(reference: &str) -> Result<String, Failure> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "./:@_-".contains(letter);
    let begins = reference.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if !begins || !reference.chars().all(fits) {
        return Err(Failure::usage(format!("{reference:?} names no image")));
    }
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) {
        Ok(reference.to_owned())
    } else {
        Ok(format!("{reference}:latest"))
    }
}

/// The tag of an image: the version, with each character that a tag may not have replaced, and the
/// beginning of the digest.
fn tag(version: &str, digest: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '.' || letter == '_';
    let version = version.replace(|letter| !fits(letter), "-");
    let digits = digest.trim_start_matches("sha256:").chars().take(DIGITS);
    format!("{version}-{}", digits.collect::<String>())
}

/// Whether `send` gives names of this form. An image that somebody built under our name has another
/// form of tag.
fn is_ours(name: &str) -> bool {
    let name = ["localhost/", "docker.io/library/"]
        .iter()
        .find_map(|front| name.strip_prefix(front))
        .unwrap_or(name);
    let tag = name
        .strip_prefix(IMAGE)
        .and_then(|rest| rest.strip_prefix(':'));
    let digits = tag.and_then(|tag| tag.rsplit_once('-'));
    digits.is_some_and(|(_, digits)| {
        let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        digits.len() == DIGITS && digits.bytes().all(is_digit)
    })
}

/// The names of all images of ours on the engine.
///
/// # Errors
///
/// When the engine cannot be queried.
pub fn ours(engine: &Engine) -> Result<Vec<String>, Fault> {
    let images = engine
        .get::<Vec<Listed>>("/images/json")?
        .unwrap_or_default();
    let names = images
        .into_iter()
        .filter_map(|image| image.repo_tags)
        .flatten();
    Ok(names.filter(|name| is_ours(name)).collect())
}

/// Removes an image by its name, unless a container uses it.
///
/// # Errors
///
/// When the engine refuses for another reason.
pub fn remove(engine: &Engine, name: &str) -> Result<(), Fault> {
    match engine.delete(&format!("/images/{name}")) {
        Err(Fault::Refused(409, _)) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_after_what_is_in_it() {
        assert_eq!(
            tag("1.0.0", "sha256:0123456789abcdef"),
            "1.0.0-0123456789ab"
        );
        assert_eq!(
            tag("1.0.0+a", "sha256:0123456789abcdef"),
            "1.0.0-a-0123456789ab"
        );
    }

    #[test]
    fn ours_are_told_by_their_names() {
        assert!(is_ours("skypipe-satellite:1.0.0-0123456789ab"));
        assert!(is_ours("localhost/skypipe-satellite:1.0.0-0123456789ab"));
        assert!(!is_ours("skypipe-satellites:1.0.0-0123456789ab"));
        assert!(!is_ours(
            "registry.example/skypipe-satellite:1.0.0-0123456789ab"
        ));
        for others in [
            "latest",
            "1.0.0",
            "dev-0123456789aB",
            "dev-0123",
            "0123456789ab",
        ] {
            assert!(!is_ours(&format!("skypipe-satellite:{others}")), "{others}");
        }
    }

    #[test]
    fn a_reference_always_has_a_tag_or_a_digest() {
        let whole = |text| whole(text).ok();
        assert_eq!(whole("a/b"), Some("a/b:latest".to_owned()));
        assert_eq!(whole("host:5000/b"), Some("host:5000/b:latest".to_owned()));
        assert_eq!(whole("a/b:1"), Some("a/b:1".to_owned()));
        assert_eq!(whole("a@sha256:00"), Some("a@sha256:00".to_owned()));
        assert_eq!(whole("a b"), None);
        assert_eq!(whole("a?x=1"), None);
        assert_eq!(whole("-a"), None);
        assert_eq!(whole(""), None);
    }
}
