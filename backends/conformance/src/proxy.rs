//! A TCP proxy that breaks the link between a client and its server as a test tells it to.

mod waits;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use waits::Waits;

const CHUNK_LEN: usize = 16 << 10;

/// A proxy in front of one server, for any protocol over TCP.
///
/// It passes everything on until a fault is set. A fault replaces the one before it and holds,
/// for open connections and for new ones, until the next call. Bytes that the proxy has passed on
/// are gone; all others meet the fault.
///
/// ```no_run
/// # async fn demo(server: std::net::SocketAddr) -> std::io::Result<()> {
/// use steadfast_conformance::proxy::FaultProxy;
///
/// let proxy = FaultProxy::to(server).await?;
/// let url = format!("redis://{}", proxy.addr()); // for the client under test
/// proxy.stall(); // a call now must end by its deadline
/// proxy.heal(); // and the next one must work
/// # Ok(()) }
/// ```
///
/// It lives in the runtime it was made in. Dropping it closes all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    link: watch::Sender<Link>,
    swallow_next: AtomicBool,
    /// Whether commands that wait for replicas or disks are replaced.
    answers_waits: bool,
    confirms: AtomicBool,
    connections: AtomicU64,
    request_bytes: AtomicU64,
    reply_bytes: AtomicU64,
    swallowed: AtomicU64,
}

/// The state of the link. The cuts are counted, so that none is missed by a connection that
/// looks only after the link was healed.
#[derive(Clone, Copy, Debug)]
struct Link {
    fault: Fault,
    cuts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    DropRequests,
    Healed,
    Slow(Duration),
    Stall,
    SwallowReplies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Replies,
    Requests,
}

impl FaultProxy {
    /// Opens a proxy on a free loopback port in front of the server, which need not be up yet.
    /// While it is down, connections are accepted and reset.
    ///
    /// # Errors
    ///
    /// When no port can be opened.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        Self::start(server, false).await
    }

    /// As [`to`](Self::to), for a Redis server, of which [`confirm`](Self::confirm) tells how it
    /// answers those who wait for replicas or disks. It confirms at first.
    ///
    /// # Errors
    ///
    /// As [`to`](Self::to).
    pub async fn to_redis(server: SocketAddr) -> io::Result<Self> {
        Self::start(server, true).await
    }

    async fn start(server: SocketAddr, answers_waits: bool) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            link: watch::Sender::new(Link { fault: Fault::Healed, cuts: 0 }),
            swallow_next: AtomicBool::new(false),
            answers_waits,
            confirms: AtomicBool::new(true),
            connections: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            reply_bytes: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// The address clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Passes everything on again, held bytes first.
    pub fn heal(&self) {
        self.set(Fault::Healed);
    }

    /// Resets every connection; new ones are accepted and reset at once.
    pub fn cut(&self) {
        self.set(Fault::Cut);
    }

    /// Holds all bytes back, both ways: connections stay open, new ones are accepted, and
    /// nothing comes.
    pub fn stall(&self) {
        self.set(Fault::Stall);
    }

    /// Passes each chunk on, both ways, only after this delay, one chunk after the other.
    pub fn slow_by(&self, delay: Duration) {
        self.set(Fault::Slow(delay));
    }

    /// Throws requests away, so that the server never sees them. Connections stay open; those that
    /// lost something are reset by what comes after the fault, for a stream has no gaps.
    pub fn drop_requests(&self) {
        self.set(Fault::DropRequests);
    }

    /// Throws replies away, so that the server does what nobody hears of. Connections stay open as
    /// with [`drop_requests`](Self::drop_requests).
    pub fn swallow_replies(&self) {
        self.set(Fault::SwallowReplies);
    }

    /// Throws away the next chunk of a reply, once, and resets that connection: the client sees
    /// a cut after the server did the work. It adds to the fault that is set.
    pub fn swallow_next_reply(&self) {
        self.shared.swallow_next.store(true, Ordering::SeqCst);
    }

    /// Whether the server [behind this](Self::to_redis) has a disk that confirms: `WAITAOF` is
    /// answered here, also for servers that do not know it. `WAIT` is the server's own, and ends
    /// after a millisecond if this is false.
    pub fn confirm(&self, confirms: bool) {
        self.shared.confirms.store(confirms, Ordering::SeqCst);
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were passed on to the server.
    pub fn request_bytes(&self) -> u64 {
        self.shared.request_bytes.load(Ordering::SeqCst)
    }

    /// How many bytes were passed on to clients.
    pub fn reply_bytes(&self) -> u64 {
        self.shared.reply_bytes.load(Ordering::SeqCst)
    }

    /// How many chunks of replies were thrown away.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    fn set(&self, fault: Fault) {
        self.shared.link.send_modify(|link| {
            link.fault = fault;
            link.cuts += u64::from(fault == Fault::Cut);
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until it is aborted, and every connection with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
                // Out of sockets: others must close some first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut link = shared.link.subscribe();
    let cuts = link.borrow().cuts;
    let mut server = None;
    let relayed = tokio::select! {
        // The cut first: what is not yet on its way is lost.
        biased;
        _ = link.wait_for(|link| link.fault == Fault::Cut || link.cuts != cuts) => Err(reset()),
        relayed = relay(&mut client, &mut server, &shared) => relayed,
    };
    if relayed.is_err() {
        // Closing them without lingering sends resets instead of orderly ends.
        for stream in [Some(client), server].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn relay(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    shared: &Shared,
) -> io::Result<()> {
    passage(&mut shared.link.subscribe()).await?;
    let server = server.insert(TcpStream::connect(shared.server).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::try_join!(
        pump(Direction::Requests, &mut from_client, &mut to_server, shared),
        pump(Direction::Replies, &mut from_server, &mut to_client, shared),
    )?;
    Ok(())
}

/// Passes bytes on, one way, until their end.
async fn pump(
    direction: Direction,
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    shared: &Shared,
) -> io::Result<()> {
    let mut link = shared.link.subscribe();
    let mut chunk = vec![0; CHUNK_LEN];
    let is_request = direction == Direction::Requests;
    let mut waits = (shared.answers_waits && is_request).then(Waits::default);
    let mut torn = false;
    loop {
        let read = from.read(&mut chunk).await;
        // Ends and errors meet the fault too: a stalled link does not tell of them.
        let fault = passage(&mut link).await?;
        let len = read?;
        if len == 0 {
            return to.shutdown().await;
        }
        let passed = match direction {
            Direction::Requests if fault == Fault::DropRequests => {
                torn = true;
                continue;
            }
            Direction::Requests => &shared.request_bytes,
            Direction::Replies if shared.swallow_next.swap(false, Ordering::SeqCst) => {
                shared.swallowed.fetch_add(1, Ordering::SeqCst);
                return Err(reset());
            }
            Direction::Replies if fault == Fault::SwallowReplies => {
                shared.swallowed.fetch_add(1, Ordering::SeqCst);
                torn = true;
                continue;
            }
            Direction::Replies => &shared.reply_bytes,
        };
        if torn {
            return Err(reset());
        }
        let confirms = shared.confirms.load(Ordering::SeqCst);
        match &mut waits {
            Some(waits) => to.write_all(&waits.pass(&chunk[..len], confirms)).await?,
            None => to.write_all(&chunk[..len]).await?,
        }
        passed.fetch_add(u64::try_from(len).unwrap_or_default(), Ordering::SeqCst);
    }
}

/// Waits as long as the link holds a chunk back, and tells the fault under which it passes.
async fn passage(link: &mut watch::Receiver<Link>) -> io::Result<Fault> {
    loop {
        let fault = link.borrow_and_update().fault;
        match fault {
            Fault::Stall => link.changed().await.map_err(|_| reset())?,
            Fault::Slow(delay) => {
                if tokio::time::timeout(delay, link.changed()).await.is_err() {
                    return Ok(fault);
                }
            }
            _ => return Ok(fault),
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
