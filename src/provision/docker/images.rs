//! The satellite's image on an engine.
//!
//! Owns how the image gets there, its name there, and its removal. The name of an image of ours
//! contains the beginning of its digest. A name therefore never moves to another image, and
//! leftover images are recognised by their names.

use super::engine::{Engine, Kind};
use super::names::IMAGE;
use crate::exit::Failure;
use crate::provision::image::Image;
use crate::provision::{Console, Program, megabytes};

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

/// Makes sure that the engine has the image to deploy.
pub fn provide(
    engine: &Engine,
    program: &Program,
    version: &str,
    console: &mut dyn Console,
) -> Result<Present, Failure> {
    match program {
        Program::Image(reference) => pull(engine, reference, console),
        Program::Executable(bytes, architecture) => {
            console.begin("pack the image");
            let image = Image::pack(bytes, *architecture);
            console.done("");
            send(engine, &image, version, console)
        }
    }
}

/// Sends the image, unless the engine has it already.
fn send(
    engine: &Engine,
    image: &Image,
    version: &str,
    console: &mut dyn Console,
) -> Result<Present, Failure> {
    let name = format!("{IMAGE}:{}", tag(version, &image.id()));
    console.begin("load the image");
    if let Some(present) = present(engine, &name)? {
        console.done("it is there already");
        return Ok(present);
    }
    let archive = image.docker_archive(&name);
    let size = megabytes(archive.len());
    engine.load(archive)?;
    console.done(&size);
    present(engine, &name)?.ok_or_else(|| is_missing(&name))
}

/// Makes the engine pull an image from a registry.
fn pull(engine: &Engine, reference: &str, console: &mut dyn Console) -> Result<Present, Failure> {
    if !is_reference(reference) {
        return Err(Failure::usage(format!("{reference:?} names no image")));
    }
    console.begin("pull the image");
    engine
        .pull(reference)
        .map_err(|why| Failure::failed(format!("cannot pull {reference}: {why}")))?;
    console.done("");
    let id = engine.image(reference)?;
    let id = id.ok_or_else(|| is_missing(reference))?;
    let name = reference.to_owned();
    Ok(Present { name, id })
}

fn is_missing(name: &str) -> Failure {
    Failure::failed(format!("the engine took the image, and has no {name} now"))
}

/// The image of ours that has this name, and possibly something in front: Podman puts `localhost/`
/// there.
fn present(engine: &Engine, name: &str) -> Result<Option<Present>, Failure> {
    let Some(name) = ours(engine)?.into_iter().find(|whole| bare(whole) == name) else {
        return Ok(None);
    };
    let id = engine.image(&name)?;
    Ok(id.map(|id| Present { name, id }))
}

/// Whether the text can name an image in a registry. It can be no option of a command then.
fn is_reference(text: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "./:@_-".contains(letter);
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(fits)
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
    let name = bare(name);
    let tag = name
        .strip_prefix(IMAGE)
        .and_then(|rest| rest.strip_prefix(':'));
    let digits = tag.and_then(|tag| tag.rsplit_once('-'));
    digits.is_some_and(|(_, digits)| {
        let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        digits.len() == DIGITS && digits.bytes().all(is_digit)
    })
}

/// The name without what engines put in front of one that names no registry.
fn bare(name: &str) -> &str {
    let fronts = ["localhost/", "docker.io/library/"];
    let rest = fronts.iter().find_map(|front| name.strip_prefix(front));
    rest.unwrap_or(name)
}

/// The names of all images of ours on the engine.
pub fn ours(engine: &Engine) -> Result<Vec<String>, Failure> {
    let mut names = engine.names(Kind::Image)?;
    names.retain(|name| is_ours(name));
    Ok(names)
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
    fn what_could_be_an_option_names_no_image() {
        for reference in ["a/b", "host:5000/b", "a/b:1", "a@sha256:00"] {
            assert!(is_reference(reference), "{reference}");
        }
        for other in ["a b", "a?x=1", "-a", ""] {
            assert!(!is_reference(other), "{other}");
        }
    }
}
