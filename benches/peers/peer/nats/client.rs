//! A minimal client of NATS, which writes stdin to a subject or prints a subject.
//!
//! A message has as many complete lines as have arrived, up to 64 KiB, so that the lines of many
//! writers can be merged. With `JetStream`, a writer has up to 64 unconfirmed messages, and exits
//! when all are confirmed. A reader requests 128 messages at a time and confirms them together.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::Command;

/// The longest message, in bytes.
const MESSAGE: usize = 64 << 10;

/// How many messages may be on the way to `JetStream`.
const WINDOW: usize = 64;

/// How many messages are requested at a time. Twice as many may be on the way.
const BATCH: usize = 128;

/// The first argument that makes the benchmark this client.
pub const WORD: &str = "nats-client";

/// `WORD HOW PORT SUBJECT [COUNT]`
pub fn command(how: &str, port: u16, subject: &str, count: Option<usize>) -> Command {
    let mut command = Command::new(env::current_exe().expect("it runs"));
    command.args([WORD, how, &port.to_string(), subject]);
    command.args(count.map(|count| count.to_string()));
    command
}

/// Runs the client that [`command`] starts, with the arguments after that word.
pub fn run(args: &[String]) -> io::Result<()> {
    let [how, port, subject, count @ ..] = args else {
        return Err(other("HOW PORT SUBJECT [COUNT]"));
    };
    let mut connection = Connection::open(port.parse().map_err(io::Error::other)?)?;
    let count = count.first().and_then(|count| count.parse().ok());
    match how.as_str() {
        "publish" => publish(&mut connection, subject, false),
        "publish-kept" => publish(&mut connection, subject, true),
        "subscribe" => {
            connection.say(&format!("SUB {subject} 1\r\n"))?;
            print(&mut connection, count.unwrap_or(usize::MAX), |_, _, _| {
                Ok(())
            })
        }
        _ => subscribe_kept(&mut connection, subject, count.unwrap_or(usize::MAX)),
    }
}

/// The prefix of the inboxes at which readers of a stored subject get its messages.
pub fn inbox(subject: &str) -> String {
    format!("_INBOX.{subject}.")
}

/// The stored messages of one subject. Dropping this deletes them.
pub struct Stream {
    connection: Connection,
    name: String,
}

impl Stream {
    /// Stores this subject from now on, under its own name.
    pub fn create(port: u16, subject: &str) -> io::Result<Self> {
        let mut connection = Connection::open(port)?;
        let config = format!(
            r#"{{"name":"{subject}","subjects":["{subject}"],"storage":"file","retention":"limits"}}"#
        );
        connection.request(&format!("STREAM.CREATE.{subject}"), &config)?;
        Ok(Self {
            connection,
            name: subject.to_owned(),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let request = format!("STREAM.DELETE.{}", self.name);
        let _ = self.connection.request(&request, "");
    }
}

fn publish(connection: &mut Connection, subject: &str, is_kept: bool) -> io::Result<()> {
    let reply = format!("_ACK.{}", std::process::id());
    if is_kept {
        connection.say(&format!("SUB {reply} 1\r\n"))?;
    }
    let head = if is_kept {
        format!("PUB {subject} {reply}")
    } else {
        format!("PUB {subject}")
    };
    let mut input = Lines::new()?;
    let mut unconfirmed = 0;
    while let Some(message) = input.next()? {
        let mut frame = format!("{head} {}\r\n", message.len()).into_bytes();
        frame.extend_from_slice(message);
        frame.extend_from_slice(b"\r\n");
        connection.stream.write_all(&frame)?;
        unconfirmed += usize::from(is_kept);
        if unconfirmed == WINDOW {
            connection.confirmation()?;
            unconfirmed -= 1;
        }
    }
    for _ in 0..unconfirmed {
        connection.confirmation()?;
    }
    connection.ping()
}

fn subscribe_kept(connection: &mut Connection, subject: &str, count: usize) -> io::Result<()> {
    let config = format!(
        r#"{{"stream_name":"{subject}","config":{{"deliver_policy":"all","ack_policy":"all","max_ack_pending":-1}}}}"#
    );
    let answer = connection.request(&format!("CONSUMER.CREATE.{subject}"), &config)?;
    let (_, name) = answer
        .split_once(r#""name":""#)
        .ok_or_else(|| other(&answer))?;
    let (consumer, _) = name.split_once('"').ok_or_else(|| other(&answer))?;
    let inbox = format!("{}{}", inbox(subject), std::process::id());
    let more =
        format!("PUB $JS.API.CONSUMER.MSG.NEXT.{subject}.{consumer} {inbox} 3\r\n{BATCH}\r\n");
    connection.say(&format!("SUB {inbox} 1\r\n{more}{more}"))?;
    print(connection, count, |connection, number, reply| {
        let is_last = number == count;
        if is_last || number.is_multiple_of(BATCH) {
            connection.say(&format!("PUB {reply} 0\r\n\r\n"))?;
        }
        if is_last {
            connection.ping()
        } else if number.is_multiple_of(BATCH) {
            connection.say(&more)
        } else {
            Ok(())
        }
    })
}

/// Prints this many messages. After printing each message, calls `answer` with its number and its
/// reply subject.
fn print(
    connection: &mut Connection,
    count: usize,
    mut answer: impl FnMut(&mut Connection, usize, &str) -> io::Result<()>,
) -> io::Result<()> {
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (mut head, mut payload) = (String::new(), Vec::new());
    for number in 1..=count {
        connection.message(&mut head, &mut payload)?;
        output.write_all(&payload)?;
        let reply = head.split_whitespace().nth(3).unwrap_or_default();
        answer(connection, number, reply)?;
    }
    Ok(())
}

/// stdin, in pieces of complete lines.
struct Lines {
    input: File,
    held: Vec<u8>,
    /// How many of its bytes were returned last.
    given: usize,
}

impl Lines {
    fn new() -> io::Result<Self> {
        Ok(Self {
            input: File::from(io::stdin().as_fd().try_clone_to_owned()?),
            held: Vec::new(),
            given: 0,
        })
    }

    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.held.drain(..self.given);
        self.given = 0;
        loop {
            let from = self.held.len();
            self.held.resize(MESSAGE, 0);
            let read = self.input.read(&mut self.held[from..])?;
            self.held.truncate(from + read);
            let line = self.held.iter().rposition(|byte| *byte == b'\n');
            self.given = match line {
                Some(end) => end + 1,
                None if read == 0 || self.held.len() == MESSAGE => self.held.len(),
                None => continue,
            };
            return Ok((self.given > 0).then(|| &self.held[..self.given]));
        }
    }
}

struct Connection {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Connection {
    fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let input = BufReader::with_capacity(256 << 10, stream.try_clone()?);
        let mut connection = Self { stream, input };
        connection.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
        connection.ping()?;
        Ok(connection)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// Waits until the server has processed everything that was sent.
    fn ping(&mut self) -> io::Result<()> {
        self.say("PING\r\n")?;
        let mut line = String::new();
        while line != "PONG\r\n" {
            self.line(&mut line)?;
        }
        Ok(())
    }

    /// The server's next line. A complaint of the server is an error.
    fn line(&mut self, line: &mut String) -> io::Result<()> {
        line.clear();
        if self.input.read_line(line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("-ERR") {
            return Err(other(line));
        }
        Ok(())
    }

    /// The next message: `MSG SUBJECT ID [REPLY] LENGTH`, and its bytes.
    fn message(&mut self, head: &mut String, payload: &mut Vec<u8>) -> io::Result<()> {
        head.clear();
        while !head.starts_with("MSG ") {
            self.line(head)?;
        }
        let length = head.split_whitespace().last();
        let length = length.and_then(|length| length.parse::<usize>().ok());
        let length = length.ok_or_else(|| other(head))?;
        payload.resize(length + 2, 0);
        self.input.read_exact(payload)?;
        payload.truncate(length);
        Ok(())
    }

    /// Waits until `JetStream` has stored one more message.
    fn confirmation(&mut self) -> io::Result<()> {
        let (mut head, mut payload) = (String::new(), Vec::new());
        self.message(&mut head, &mut payload)?;
        accepted(&payload).map(drop)
    }

    fn request(&mut self, what: &str, body: &str) -> io::Result<String> {
        let length = body.len();
        self.say(&format!(
            "SUB _ANSWER.{0} 9\r\nPUB $JS.API.{what} _ANSWER.{0} {length}\r\n{body}\r\n",
            std::process::id()
        ))?;
        let (mut head, mut payload) = (String::new(), Vec::new());
        self.message(&mut head, &mut payload)?;
        self.say("UNSUB 9\r\n")?;
        accepted(&payload)
    }
}

/// The answer of `JetStream`, unless it is an error.
fn accepted(answer: &[u8]) -> io::Result<String> {
    let answer = String::from_utf8_lossy(answer).into_owned();
    if answer.contains(r#""error""#) {
        return Err(other(&answer));
    }
    Ok(answer)
}

fn other(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}
