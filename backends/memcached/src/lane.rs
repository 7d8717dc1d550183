//! One connection, shared by many calls at once: their requests go out together, and the answers
//! come back in the order of the requests.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use memcache::exp::{self, MetaCommand, MetaCommandResult};
use steadfast_backend::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::answers::{Answers, Garbled};
use crate::error;

/// How many requests may wait for their turn; more would wait longer than anybody does.
const QUEUE_LEN: usize = 4_096;
/// How many requests are taken from the queue at once.
const TAKEN_MAX: usize = 64;
/// Requests are taken while less than this is still to be written.
const UNWRITTEN_MAX: usize = 64 << 10;

/// The way to the task that has the connection. The task ends when this is gone and everything is
/// answered.
#[derive(Debug)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Request>,
    waiting: Arc<AtomicUsize>,
}

/// What came back for a request.
type Answer = std::result::Result<MetaCommandResult, Lost>;

/// Why there is no answer.
#[derive(Debug)]
enum Lost {
    /// There was no connection; it was not sent.
    Unsent(io::ErrorKind),
    /// It was sent, and the connection ended before the answer came.
    Broken(Broken),
    /// This is the answer.
    Refused(exp::Error),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Closed(io::ErrorKind),
    Silent,
    Garbled,
}

/// What is asked, and who waits for the answer.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    /// Set by whoever is first: the lane that sends the request, or the caller that gives it up.
    taken: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

/// A request that is on its way.
#[derive(Debug)]
pub(crate) struct Asked {
    changes: bool,
    taken: Arc<AtomicBool>,
    answer: oneshot::Receiver<Answer>,
    _counted: Counted,
}

/// Counts for as long as it is there.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// Connects when it is first asked, and again after each failure. A server that is silent for
    /// `silence_max` loses its connection.
    pub(crate) fn start(address: SocketAddr, silence_max: Duration) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        tokio::spawn(serve(address, silence_max, requests));
        Self { queue, waiting: Arc::default() }
    }

    /// How many calls wait for it.
    pub(crate) fn load(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Puts a request into the queue.
    pub(crate) fn ask(&self, command: &MetaCommand) -> Result<Asked> {
        let (sender, answer) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let bytes = command.encode().map_err(error::of)?;
        let request = Request { bytes, taken: Arc::clone(&taken), answer: sender };
        self.queue.try_send(request).map_err(|_full| {
            let detail = "too many calls wait for the server; make fewer at once, or allow more \
                          connections";
            Error::new(ErrorKind::Busy, detail)
        })?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.waiting));
        Ok(Asked { changes: command.has_side_effect(), taken, answer, _counted: counted })
    }
}

impl Asked {
    /// The answer if it comes in time. A request that was not sent by then never will be.
    pub(crate) async fn answer(mut self, deadline: Instant) -> Result<MetaCommandResult> {
        match timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer.map_err(|lost| self.error(lost)),
            // The task ends before it has answered only with the runtime.
            Ok(Err(_gone)) => Err(self.error(Lost::Broken(Broken::Silent))),
            Err(_elapsed) if self.taken.swap(true, Ordering::AcqRel) => {
                Err(self.error(Lost::Broken(Broken::Silent)))
            }
            Err(_elapsed) => Err(error::no_answer()),
        }
    }

    fn error(&self, lost: Lost) -> Error {
        let broken = match lost {
            Lost::Unsent(kind) => return error::unreachable_now(kind.into()),
            Lost::Refused(refusal) if self.changes => return error::of_change(refusal),
            Lost::Refused(refusal) => return error::of(refusal),
            Lost::Broken(Broken::Closed(kind)) => error::unreachable_now(kind.into()),
            Lost::Broken(Broken::Silent) => error::no_answer(),
            Lost::Broken(Broken::Garbled) => error::spoiled(),
        };
        if self.changes { broken.ambiguous() } else { broken }
    }
}

/// Serves the requests over one connection after the other, until nobody can ask any more.
async fn serve(address: SocketAddr, silence_max: Duration, mut requests: mpsc::Receiver<Request>) {
    let mut taken = Vec::with_capacity(TAKEN_MAX);
    while requests.recv_many(&mut taken, TAKEN_MAX).await > 0 {
        match dial(address, silence_max).await {
            Ok(stream) => Connection::new(stream, silence_max).run(&mut taken, &mut requests).await,
            Err(error) => {
                for request in taken.drain(..) {
                    let _ = request.answer.send(Err(Lost::Unsent(error.kind())));
                }
            }
        }
    }
}

async fn dial(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Connection {
    stream: TcpStream,
    unwritten: Vec<u8>,
    written: usize,
    answers: Answers,
    /// Those who wait, in the order of their requests, and since when.
    waiting: VecDeque<(Instant, oneshot::Sender<Answer>)>,
    silence_max: Duration,
    /// Goes off when the first of them may have waited for too long.
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, silence_max: Duration) -> Self {
        Self {
            stream,
            unwritten: Vec::new(),
            written: 0,
            answers: Answers::default(),
            waiting: VecDeque::new(),
            silence_max,
            alarm: Box::pin(sleep(silence_max)),
        }
    }

    /// Until the connection fails, or nobody asks any more and all is answered.
    async fn run(mut self, taken: &mut Vec<Request>, requests: &mut mpsc::Receiver<Request>) {
        let mut open = true;
        self.send(taken.drain(..));
        while open || !self.waiting.is_empty() {
            if let Err(broken) = self.step(taken, requests, &mut open).await {
                // Nobody knows what became of the requests that were sent.
                for (_since, waiting) in self.waiting {
                    let _ = waiting.send(Err(Lost::Broken(broken)));
                }
                return;
            }
        }
    }

    /// Reads, writes or takes requests, whichever is possible first.
    async fn step(
        &mut self,
        taken: &mut Vec<Request>,
        requests: &mut mpsc::Receiver<Request>,
        open: &mut bool,
    ) -> std::result::Result<(), Broken> {
        let (mut reader, mut writer) = self.stream.split();
        let unwritten = &self.unwritten[self.written..];
        tokio::select! {
            biased;
            read = reader.read_buf(self.answers.buffer()) => match read {
                Ok(0) => return Err(Broken::Closed(io::ErrorKind::UnexpectedEof)),
                Ok(_len) => self.deliver()?,
                Err(error) => return Err(Broken::Closed(error.kind())),
            },
            written = writer.write(unwritten), if !unwritten.is_empty() => {
                self.written += written.map_err(|error| Broken::Closed(error.kind()))?;
                if self.written == self.unwritten.len() {
                    self.written = 0;
                    self.unwritten.clear();
                    self.unwritten.shrink_to(UNWRITTEN_MAX);
                }
            }
            count = requests.recv_many(taken, TAKEN_MAX),
                if *open && unwritten.len() < UNWRITTEN_MAX =>
            {
                *open = count > 0;
                self.send(taken.drain(..));
            }
            () = self.alarm.as_mut(), if !self.waiting.is_empty() => self.look_at_the_clock()?,
        }
        Ok(())
    }

    fn send(&mut self, requests: impl Iterator<Item = Request>) {
        let now = Instant::now();
        for request in requests.filter(|request| !request.taken.swap(true, Ordering::AcqRel)) {
            self.unwritten.extend_from_slice(&request.bytes);
            self.waiting.push_back((now, request.answer));
        }
    }

    /// Hands over all answers that are complete.
    fn deliver(&mut self) -> std::result::Result<(), Broken> {
        while let Some(answer) = self.answers.next().map_err(|Garbled| Broken::Garbled)? {
            let (_since, waiting) = self.waiting.pop_front().ok_or(Broken::Garbled)?;
            let ends = answer.as_ref().is_err_and(|error| !error::leaves_the_connection(error));
            // Whoever gave up does not want it.
            let _ = waiting.send(answer.map_err(Lost::Refused));
            if ends {
                return Err(Broken::Closed(io::ErrorKind::ConnectionAborted));
            }
        }
        Ok(())
    }

    /// Whether the first one has waited for too long; if not, it is looked again when it might.
    fn look_at_the_clock(&mut self) -> std::result::Result<(), Broken> {
        let Some((since, _)) = self.waiting.front() else { return Ok(()) };
        let end = *since + self.silence_max;
        if end <= Instant::now() {
            return Err(Broken::Silent);
        }
        self.alarm.as_mut().reset(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use memcache::exp::{MetaOp, ReturnCode};
    use steadfast_backend::ErrorKind;
    use tokio::net::TcpListener;

    use super::*;

    const FAR: Duration = Duration::from_secs(60);

    /// A lane to a server that is played by the test.
    async fn lane(silence_max: Duration) -> (Lane, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Lane::start(listener.local_addr().unwrap(), silence_max), listener)
    }

    fn set(key: &str, len: usize) -> MetaCommand {
        MetaCommand::new(MetaOp::Set, key).value(vec![b'v'; len])
    }

    #[tokio::test]
    async fn what_was_given_up_before_it_was_sent_is_never_sent() {
        const SILENCE_MAX: Duration = Duration::from_secs(1);
        let (lane, listener) = lane(SILENCE_MAX).await;
        // More than the kernel takes from somebody whom nobody reads.
        let first = lane.ask(&set("first", 32 << 20)).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        // Its first bytes are here, so it was taken alone.
        server.readable().await.unwrap();
        let second = lane.ask(&set("second", 1)).unwrap();
        let soon = Instant::now() + SILENCE_MAX / 4;
        let (first, second) = tokio::join!(first.answer(soon), second.answer(soon));
        let (first, second) = (first.unwrap_err(), second.unwrap_err());
        assert_eq!((first.kind(), first.is_ambiguous()), (ErrorKind::Timeout, true));
        assert_eq!((second.kind(), second.is_ambiguous()), (ErrorKind::Timeout, false));
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        let seen = |key: &[u8]| received.windows(key.len()).any(|window| window == key);
        assert!(seen(b"first") && !seen(b"second"));
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up_and_the_next_call_gets_another() {
        let (lane, listener) = lane(Duration::from_millis(100)).await;
        for _ in 0..2 {
            let asked = [lane.ask(&set("k", 1)).unwrap(), lane.ask(&set("k", 1)).unwrap()];
            let (_silent, _) = listener.accept().await.unwrap();
            for asked in asked {
                let error = asked.answer(Instant::now() + FAR).await.unwrap_err();
                assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, true));
            }
        }
        assert_eq!(lane.load(), 0);
    }

    #[tokio::test]
    async fn a_refused_request_takes_no_other_with_it() {
        let (lane, listener) = lane(FAR).await;
        let asked = [lane.ask(&set("k", 1)).unwrap(), lane.ask(&set("k", 1)).unwrap()];
        let (mut server, _) = listener.accept().await.unwrap();
        let answers = b"SERVER_ERROR out of memory storing object\r\nHD\r\n";
        server.write_all(answers).await.unwrap();
        let [first, second] = asked.map(|asked| asked.answer(Instant::now() + FAR));
        let first = first.await.unwrap_err();
        assert_eq!((first.kind(), first.is_ambiguous()), (ErrorKind::Full, false));
        assert_eq!(second.await.unwrap().rc, ReturnCode::Hd);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_goes_to_nobody_else() {
        let (lane, listener) = lane(FAR).await;
        let [one, two] =
            ["1", "2"].map(|key| lane.ask(&MetaCommand::new(MetaOp::Get, key)).unwrap());
        let (mut server, _) = listener.accept().await.unwrap();
        let mut request = vec![0; b"mg 1\r\nmg 2\r\n".len()];
        server.read_exact(&mut request).await.unwrap();
        drop(one);
        server.write_all(b"VA 1\r\n1\r\nVA 1\r\n2\r\n").await.unwrap();
        let answer = two.answer(Instant::now() + FAR).await.unwrap();
        assert_eq!(answer.value.as_deref(), Some(&b"2"[..]));
    }

    #[tokio::test]
    async fn an_answer_to_no_question_ends_the_connection() {
        let (lane, listener) = lane(FAR).await;
        let asked = lane.ask(&MetaCommand::new(MetaOp::Get, "k")).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"EN\r\nEN\r\n").await.unwrap();
        assert_eq!(asked.answer(Instant::now() + FAR).await.unwrap().rc, ReturnCode::En);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
    }
}
