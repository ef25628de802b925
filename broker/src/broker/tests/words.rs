//! Messages of honest clients, and replies as text.

use crate::protocol::{How, Listen, Mode, Open, Progress, Reply, Request, Resume};

use super::story::{Heard, id};

/// Opens a new stream.
pub fn opening(stream: &str, pipe: &str) -> Request {
    Request::Open(Open {
        stream: id(stream),
        pipe: pipe.to_owned(),
        from: 0,
        resume: false,
        wait: false,
        whole: false,
        label: format!("writer {stream}"),
    })
}

/// Resumes a stream. `from` is the first byte that the writer still has.
pub fn reopening(stream: &str, pipe: &str, from: u64) -> Request {
    Request::Open(Open {
        stream: id(stream),
        pipe: pipe.to_owned(),
        from,
        resume: true,
        wait: false,
        whole: false,
        label: format!("writer {stream}"),
    })
}

/// Joins, or resumes after `arrived` items. The cost is 0, because a satellite that was not restarted does
/// not use it.
pub fn listening(listener: &str, pipe: &str, mode: Mode, arrived: Option<u64>) -> Request {
    Request::Listen(Listen {
        listener: id(listener),
        pipe: pipe.to_owned(),
        mode,
        window: u64::MAX,
        resume: arrived.map(|next_seq| Resume {
            next_seq,
            ..Resume::default()
        }),
    })
}

/// Resumes a listener that has printed some of a stream.
pub fn returning(
    listener: &str,
    pipe: &str,
    mode: Mode,
    next_seq: u64,
    printed: &[(&str, u64)],
) -> Request {
    let progress = |(stream, at): &(&str, u64)| Progress {
        stream: id(stream),
        at: *at,
        ended: false,
    };
    Request::Listen(Listen {
        listener: id(listener),
        pipe: pipe.to_owned(),
        mode,
        window: u64::MAX,
        resume: Some(Resume {
            next_seq,
            cost: 0,
            line: None,
            streams: printed.iter().map(progress).collect(),
        }),
    })
}

/// The sequence number of a reply, if it has one.
pub fn seq(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Chunk { seq, .. } | Reply::Ended { seq, .. } | Reply::Done { seq, .. } => Some(*seq),
        _ => None,
    }
}

/// A reply in a word or two.
pub fn words((reply, payload): Heard) -> String {
    match reply {
        Reply::Welcome { .. } => "welcome".to_owned(),
        Reply::Opened {
            next, rest: true, ..
        } => format!("the rest from {next}"),
        Reply::Opened { next, .. } => format!("opened {next}"),
        Reply::Ack { next, full, .. } => {
            format!("ack {next}{}", if full.is_some() { " full" } else { "" })
        }
        Reply::Finished { outcome, .. } => format!("{outcome:?}").to_lowercase(),
        Reply::Listening { missed: 1.., .. } => "goes on, but missed some".to_owned(),
        Reply::Listening { lost: true, .. } => "goes on".to_owned(),
        Reply::Listening { .. } => "listening".to_owned(),
        Reply::Chunk { .. } => {
            let payload = payload.expect("a chunk has a payload");
            String::from_utf8_lossy(&payload).replace('\n', "/")
        }
        Reply::Ended { before: 1.., .. } => "rest".to_owned(),
        Reply::Ended {
            how: How::End | How::Eof(_),
            ..
        } => "end".to_owned(),
        Reply::Ended {
            how: How::Cut(why), ..
        } => format!("cut ({why})"),
        Reply::Done { .. } => "done".to_owned(),
        Reply::Closed { .. } => "closed".to_owned(),
        Reply::Error { code, .. } => format!("refused: {code:?}"),
        other => format!("{other:?}"),
    }
}
