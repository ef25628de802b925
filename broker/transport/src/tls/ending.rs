//! Why a TLS connection failed, as libzmq reports it: by the error number in its event.

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error};

/// Why TLS with the other end failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The other end does not admit this key.
    Refused,
    /// The other end does not have the satellite's key.
    Impostor,
    /// The other end speaks ZMTP without TLS.
    Plain,
    /// The other end speaks something else.
    Strange,
}

impl Ending {
    /// All reasons, with the error number in libzmq's event.
    const NUMBERS: [(Self, Errno); 4] = [
        (Self::Refused, Errno::ACCESS),
        (Self::Impostor, Errno::PERM),
        (Self::Plain, Errno::PROTONOSUPPORT),
        (Self::Strange, Errno::PROTO),
    ];

    /// The reason for a failed handshake, from the number in libzmq's event. None if TLS is not the reason.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        let told = |known: &&(Self, Errno)| u32::try_from(known.1.raw_os_error()) == Ok(number);
        Self::NUMBERS.iter().find(told).map(|known| known.0)
    }

    /// The error number that libzmq is given.
    pub(super) fn errno(self) -> Errno {
        let this = |known: &&(Self, Errno)| known.0 == self;
        Self::NUMBERS
            .iter()
            .find(this)
            .map_or(Errno::PROTO, |known| known.1)
    }

    /// The meaning of a rustls error, if the other end's first byte was `first`.
    pub(super) fn from_error(error: &Error, first: Option<u8>) -> Self {
        match error {
            Error::AlertReceived(
                AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRevoked,
            ) => Self::Refused,
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                Self::Impostor
            }
            // ZMTP's signature begins with this byte, and no TLS record does.
            Error::InvalidMessage(_) if first == Some(0xff) => Self::Plain,
            _ => Self::Strange,
        }
    }
}
