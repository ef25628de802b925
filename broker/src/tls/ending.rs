//! Why a connection could not be made, as libzmq tells it: by the number of an error in its event.

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error};

/// Why TLS was not to be had with the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It does not let this key in.
    Refused,
    /// It does not have the satellite's key.
    Impostor,
    /// It speaks ZMTP without TLS.
    Plain,
    /// It speaks something else.
    Strange,
}

impl Ending {
    /// All of them, with what libzmq's event says.
    const NUMBERS: [(Self, Errno); 4] = [
        (Self::Refused, Errno::ACCESS),
        (Self::Impostor, Errno::PERM),
        (Self::Plain, Errno::PROTONOSUPPORT),
        (Self::Strange, Errno::PROTO),
    ];

    /// What an event of libzmq means that says that a handshake failed, if TLS is why.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        let told = |known: &&(Self, Errno)| u32::try_from(known.1.raw_os_error()) == Ok(number);
        Self::NUMBERS.iter().find(told).map(|known| known.0)
    }

    /// What libzmq is told.
    pub(super) fn errno(self) -> Errno {
        let this = |known: &&(Self, Errno)| known.0 == self;
        Self::NUMBERS
            .iter()
            .find(this)
            .map_or(Errno::PROTO, |known| known.1)
    }

    /// What an error of rustls means at an end whose first byte was this.
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
            // ZMTP's signature begins so, and no record of TLS does.
            Error::InvalidMessage(_) if first == Some(0xff) => Self::Plain,
            _ => Self::Strange,
        }
    }
}
