//! Reads saved payloads from the buffer, the current segment or an older one. It never returns bytes with a
//! wrong checksum.

use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::Disk;
use super::entry::Entry;
use super::error::is_shortage;
use super::frame::{Header, Kind, LONG};
use crate::store::{Damaged, StreamKey};

/// Why a payload could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The system is short of a resource, such as file descriptors.
    NotNow,
    /// The bytes are not what was saved.
    Damaged(Damaged),
}

impl Disk {
    /// The payload of a saved chunk.
    ///
    /// # Errors
    ///
    /// If the payload cannot be read now, or never again.
    pub(super) fn payload(&self, stream: StreamKey, entry: Entry) -> Result<Bytes, Unread> {
        let place = entry.place();
        let len = entry.mark().len;
        if place.segment == self.log.segment()
            && let Some(bytes) = self.log.read_buffer(place.position, LONG + len)
        {
            return Ok(Bytes::copy_from_slice(&bytes[LONG..]));
        }
        self.read(stream, entry).map_err(|why| {
            if is_shortage(&why) {
                return Unread::NotNow;
            }
            self.segments.note_damaged(place.segment);
            Unread::Damaged(Damaged(format!(
                "bytes {} to {} were damaged on the satellite's disk ({} at {}: {why})",
                entry.mark().at,
                entry.end(),
                self.directory.segment(place.segment).display(),
                place.position,
            )))
        })
    }

    fn read(&self, stream: StreamKey, entry: Entry) -> io::Result<Bytes> {
        let place = entry.place();
        let mut bytes = vec![0; LONG + entry.mark().len];
        if place.segment == self.log.segment() {
            self.log.file().read_exact_at(&mut bytes, place.position)?;
        } else {
            let file = self.segments.open(place.segment)?;
            file.read_exact_at(&mut bytes, place.position)?;
        }
        let header = Header::decode(place, &bytes);
        let is_sound = header.is_some_and(|header| {
            matches!(header.kind, Kind::Chunk(meta)
                if meta.stream == stream && meta.at == entry.mark().at)
                && header.fits(&bytes[LONG..])
        });
        if is_sound {
            Ok(Bytes::from(bytes).slice(LONG..))
        } else {
            Err(io::Error::other("the checksum is wrong"))
        }
    }
}
