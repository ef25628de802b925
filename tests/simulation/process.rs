//! The programs in the simulated world: what the loop around a session does.

use std::time::Duration;

use bytes::Bytes;
use skypipe::session::{Input, Output};
use skypipe_protocol::{Confirm, Listen, Mode, Request, decode};

use super::check::Verdict;
use super::client::{Role, State};
use super::disk::End;
use super::members::Members;
use super::network::Conn;
use super::plan::Fault;
use super::world::{Event, World, reply_in};

impl World {
    /// Starts a program.
    pub fn start(&mut self, place: usize) -> Verdict {
        let now = self.now;
        let client = &mut self.clients[place];
        client.state = State::Running;
        client.started = now;
        client.moved = now;
        client.runs = self.check.past.len();
        client.stdin_due = now
            + client
                .stdin
                .front()
                .map_or(Duration::ZERO, |(pause, _)| *pause);
        self.drain(place)
    }

    fn tell(&mut self, place: usize, input: Input) -> Verdict {
        let client = &mut self.clients[place];
        if !client.runs() {
            return Ok(());
        }
        client.still = self.now.saturating_sub(client.moved);
        client
            .session
            .handle(self.now.saturating_sub(client.started), input);
        self.drain(place)?;
        if self.is_on_disk() {
            return Ok(());
        }
        self.clients[place].hurries(self.now)
    }

    /// A program's next action: a write returns, stdin gives data, or its deadline has come.
    pub fn act(&mut self, place: usize) -> Verdict {
        let now = self.now;
        let client = &mut self.clients[place];
        if !client.writes.is_empty() && client.write_due.max(client.stalled) <= now {
            return self.written(place);
        }
        if client.has_stdin() && client.stdin_due <= now {
            if let Some((_, bytes)) = client.stdin.pop_front() {
                let pause = client
                    .stdin
                    .front()
                    .map_or(Duration::ZERO, |(pause, _)| *pause);
                client.stdin_due = now + pause;
                client.given.extend_from_slice(&bytes);
                return self.tell(place, Input::Read(bytes.into()));
            }
            client.end_given = true;
            return self.tell(place, Input::ReadEnd);
        }
        self.tell(place, Input::Timeout)
    }

    /// The oldest write returns, or finds that stdout is closed.
    fn written(&mut self, place: usize) -> Verdict {
        let client = &mut self.clients[place];
        let len = client.writes.pop_front().expect("a write is due");
        client.write_due = self.now + self.rng.micros(0, client.pace);
        if client.head.is_some_and(|head| client.printed + len > head) {
            client.output_closed = true;
            client.writes.clear();
            return self.tell(place, Input::OutputClosed);
        }
        client.printed += len;
        if len > 1 {
            // A single byte may be the newline between streams, which belongs to no stream.
            client.moved = self.now;
        }
        self.tell(place, Input::Written)
    }

    /// A message has arrived at a program.
    pub fn receive(&mut self, place: usize, conn: usize, frames: Vec<Bytes>) -> Verdict {
        let client = &mut self.clients[place];
        if client.conn != Some(conn) {
            return Ok(());
        }
        if let Some(reply) = reply_in(&frames) {
            client.notes(self.now, &reply);
            self.trace(|| format!("client {place} gets {reply:?}"));
        }
        self.tell(place, Input::Received(frames))
    }

    /// A program learns that its connection has ended.
    pub fn client_told(&mut self, conn: usize) -> Verdict {
        let place = self.conns[conn].client;
        if self.clients[place].conn != Some(conn) {
            return Ok(());
        }
        self.clients[place].opened = false;
        let why = self.rng.chance(50).then(|| "connection reset".to_owned());
        self.tell(place, Input::Disconnected(why))
    }

    fn drain(&mut self, place: usize) -> Verdict {
        while let Some(output) = self.clients[place].session.poll() {
            self.trace(|| match &output {
                Output::Send(frames) => format!("client {place} sends {:?}", request_in(frames)),
                Output::Write(bytes) => format!("client {place} writes {} bytes", bytes.len()),
                other => format!("client {place}: {other:?}"),
            });
            match output {
                Output::Connect => self.connect(place),
                Output::Send(frames) => {
                    self.sent(place, &frames)?;
                    self.send_up(place, frames);
                }
                Output::Write(bytes) => self.write(place, &bytes)?,
                Output::Failure(_) | Output::Notice(_) => self.clients[place].notices += 1,
                Output::Hint(_) => {}
                Output::Answer(reply) => self.clients[place].answers.push(reply),
                Output::Exit(code) => return self.exit(place, code),
            }
        }
        Ok(())
    }

    /// A new connection replaces the old one. Messages in flight on the old one may still arrive.
    fn connect(&mut self, place: usize) {
        let ghost = self.rng.chance(50);
        self.give_up(place, ghost);
        let mut conn = Conn::new(place, &mut self.rng);
        conn.made = self.clients[place].cut_off <= self.now;
        self.conns.push(conn);
        self.clients[place].conn = Some(self.conns.len() - 1);
        self.clients[place].opened = false;
        self.clients[place].connected = self.now;
    }

    /// A program drops its connection; `ghost` says whether what it sent still arrives.
    fn give_up(&mut self, place: usize, ghost: bool) {
        let Some(old) = self.clients[place].conn.take() else {
            return;
        };
        self.conns[old].down = false;
        if !self.conns[old].up {
            return;
        }
        // A connection that could not be made carries nothing afterwards either.
        self.conns[old].up = ghost && self.conns[old].made;
        if !self.rough || self.rng.chance(70) {
            self.tell_of_end(old);
        }
    }

    fn sent(&mut self, place: usize, frames: &[Bytes]) -> Verdict {
        if self.is_on_disk() {
            return Ok(());
        }
        let client = &mut self.clients[place];
        let request = request_in(frames).ok_or("a session sends what makes no sense")?;
        match &request {
            Request::Confirm(Confirm { next_seq, .. }) => self.check.confirms(client, *next_seq)?,
            Request::Listen(Listen { resume: None, .. }) => self.check.begins(client),
            _ => {}
        }
        client.sends(&request, frames.get(2))
    }

    fn write(&mut self, place: usize, bytes: &Bytes) -> Verdict {
        let is_on_disk = self.is_on_disk();
        let client = &mut self.clients[place];
        if client.output_closed {
            return Err("a write to a stdout that is closed".to_owned());
        }
        client.queued.extend_from_slice(bytes);
        if client.writes.is_empty() {
            client.write_due = self.now + self.rng.micros(0, client.pace);
        }
        client.writes.push_back(bytes.len());
        if is_on_disk {
            return Ok(());
        }
        self.check.prints(client, bytes.len())
    }

    fn exit(&mut self, place: usize, code: u8) -> Verdict {
        self.clients[place].state = State::Exited;
        self.clients[place].code = Some(code);
        let client = &self.clients[place];
        let verdict = if self.is_on_disk() {
            Ok(())
        } else {
            self.check.exit(client, code, self.now)
        };
        let name = self.name(place);
        let arrives = !self.rough || self.rng.chance(95);
        self.give_up(place, arrives);
        verdict.map_err(|why| format!("{name}: {why}"))
    }

    /// A program's name in messages.
    pub fn name(&self, place: usize) -> String {
        let client = &self.clients[place];
        format!(
            "client {place} ({:?}, {}, {:?})",
            client.role, client.id, client.state
        )
    }

    /// Applies a failure.
    pub fn fail(&mut self, fault: Fault) -> Verdict {
        self.trace(|| format!("{fault:?}"));
        match fault {
            Fault::Break {
                client,
                tell_satellite,
                tell_client,
            } => {
                self.clients[client].broken = true;
                let Some(conn) = self.clients[client].conn else {
                    return Ok(());
                };
                self.conns[conn].breaks();
                self.check.coverage.hit("connection broken");
                if tell_satellite {
                    self.tell_of_end(conn);
                }
                if tell_client {
                    let at = self.now + self.weather.delay(&mut self.rng);
                    self.plan(at, Event::ClientTold(conn));
                }
            }
            Fault::CutOff(client, span) => {
                self.clients[client].broken = true;
                self.clients[client].cut_off = self.now + span;
                self.check.coverage.hit("network cut off");
            }
            // A suspended program is not suspended again: what has come meanwhile keeps its order.
            Fault::Sleep(client, _) if self.clients[client].asleep > self.now => {}
            Fault::Sleep(client, span) => {
                self.clients[client].broken = true;
                self.clients[client].asleep = self.now + span;
                self.check.coverage.hit("asleep");
            }
            Fault::SatelliteSleeps(span) => {
                for client in &mut self.clients {
                    client.broken = true;
                }
                self.satellite_sleeps(span);
                self.check.coverage.hit("satellite asleep");
            }
            Fault::Kill(client) if self.clients[client].runs() => {
                self.clients[client].state = State::Killed;
                self.check.coverage.hit(match self.clients[client].role {
                    Role::Write { .. } => "writer killed",
                    Role::Listen { mode: Mode::One } => "one killed",
                    Role::Listen { .. } => "listener killed",
                    Role::Ask(_) => "asker killed",
                });
                let ghost = self.rng.chance(50);
                self.give_up(client, ghost);
            }
            Fault::Signal(client, signal) if self.clients[client].runs() => {
                self.clients[client].signal = Some(signal);
                return self.tell(client, Input::Signal(signal));
            }
            Fault::Kill(_) | Fault::Signal(..) => {}
            Fault::Congest(client) => {
                if let Some(conn) = self.clients[client].conn {
                    self.conns[conn].congested = true;
                }
            }
            Fault::Stall(client, span) => self.clients[client].stalled = self.now + span,
            Fault::Restart => self.restart(End::Killed),
            Fault::RenewKeys => {
                if let Some(renewal) = self.members.as_mut().map(Members::renewal) {
                    self.comes(renewal);
                }
            }
            Fault::DiskRefuses(times) => self.disk_refuses(times),
            Fault::KillSatellite(end) => self.restart(end),
        }
        Ok(())
    }
}

fn request_in(frames: &[Bytes]) -> Option<Request> {
    decode(frames.get(1)?).ok()
}
