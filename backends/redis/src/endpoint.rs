//! One server, and the task that keeps the connections to it alive.
//!
//! There is one dialler: however many callers wait, there is one attempt at a time, with a pause
//! after each that fails. Meanwhile calls fail at once. Every half second each connection is asked
//! for the time; one that owes two answers is replaced, because a link may break without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Pipeline, Value};
use steadfast_backend::ErrorKind;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::{Moment, ServerClock};
use crate::config::{Acknowledged, Address, RedisConfig};
use crate::dial::{self, Dialled, Role};
use crate::error::{Fault, Then, nonsense, sound};
use crate::lane::{Lane, Link, Progress, Seat, Traffic};
use crate::locate::Locate;
use crate::pace::Pace;
use crate::question::{Answer, Question};
use crate::task::Task;

/// How often a connection is asked for the time.
const PING_EVERY: Duration = Duration::from_millis(500);
/// How many answers in a row may be late.
const PINGS_MISSED_MAX: usize = 2;

pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    supervisor: Task,
}

struct Shared {
    config: Arc<RedisConfig>,
    locate: Locate,
    role: Role,
    lanes: Vec<Lane>,
    clock: ServerClock,
    status: watch::Sender<Status>,
    /// Wakes the supervisor.
    broken: Notify,
    links: AtomicUsize,
}

/// What a caller is told that finds no connection.
#[derive(Clone, Debug)]
enum Status {
    /// One comes soon, or not.
    Dialling,
    Up,
    Down {
        kind: ErrorKind,
        detail: String,
    },
}

impl Endpoint {
    /// Begins to connect.
    pub(crate) fn start(config: &Arc<RedisConfig>, locate: Locate, role: Role) -> Arc<Self> {
        let mut lanes: Vec<_> = (0..config.lanes).map(|_lane| Lane::new(Traffic::Small)).collect();
        lanes.push(Lane::new(Traffic::Bulk));
        if config.durability != Acknowledged::ByPrimary && role == Role::Primary {
            lanes.extend((0..config.lanes).map(|_lane| Lane::new(Traffic::Acknowledged)));
        }
        let shared = Arc::new(Shared {
            config: Arc::clone(config),
            locate,
            role,
            lanes,
            clock: ServerClock::new(),
            status: watch::Sender::new(Status::Dialling),
            broken: Notify::new(),
            links: AtomicUsize::new(0),
        });
        let supervisor = Task::spawn(supervise(Arc::clone(&shared)));
        Arc::new(Self { shared, supervisor })
    }

    /// Where it is, as far as there is a connection.
    pub(crate) fn address(&self) -> Option<Address> {
        self.shared.lanes.iter().find_map(Lane::link).map(|link| Address::clone(&link.address))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// Asks one thing.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        progress: &Progress,
    ) -> Result<Answer, Fault> {
        let mut seat = self.shared.seat(question.traffic, question.bytes).await?;
        if Instant::now() >= progress.deadline {
            let detail = "the time was up before anything was sent";
            return Err(Fault::new(ErrorKind::Timeout, detail).untouched());
        }
        let connection = &mut seat.link.connection;
        let answer = if let Some(command) = question.alone() {
            progress.sending();
            let answer = connection.send_packed_command(command).await;
            let value = answer.map_err(Fault::from).and_then(sound);
            value.map(|value| Answer { value, confirmed: true })
        } else {
            let left = progress.deadline.saturating_duration_since(Instant::now());
            let whole = question.whole(left)?;
            progress.sending();
            let answers = connection.send_packed_commands(&whole, 0, whole.len()).await;
            answers.map_err(Fault::from).and_then(|answers| question.answered(answers))
        };
        self.shared.judge(&seat, answer, progress)
    }

    /// Asks several things at once that change nothing; errors stand among the answers.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Fault> {
        let mut seat = self.shared.seat(Traffic::Small, 64).await?;
        let connection = &mut seat.link.connection;
        let answers = connection.send_packed_commands(commands, 0, commands.len()).await;
        let progress = Progress::until(Instant::now());
        self.shared.judge(&seat, answers.map_err(Fault::from), &progress)
    }

    /// The server's time. Asks it if that cannot be told without.
    pub(crate) async fn now(&self) -> Result<Moment, Fault> {
        if let Some(now) = self.shared.clock.now() {
            return Ok(now);
        }
        let asked = std::time::Instant::now();
        let mut question = redis::pipe();
        question.cmd("TIME");
        let answer = self.ask_all(&question).await?.into_iter().next();
        let now_us = dial::time(sound(answer.ok_or_else(nonsense)?)?)?;
        self.shared.clock.learn(now_us, asked);
        Ok(self.shared.clock.now().unwrap_or(Moment::exactly(now_us)))
    }

    /// Finds out anew which server to ask: this one is not what it was.
    pub(crate) fn resolve(&self) {
        self.shared.drop_links(|_link| true);
    }

    /// Why there is no connection, if there is none.
    pub(crate) fn trouble(&self) -> Option<Fault> {
        match &*self.shared.status.borrow() {
            Status::Down { kind, detail } => Some(Fault::new(*kind, detail.clone()).untouched()),
            _ => None,
        }
    }

    /// Gives up all connections, once those under way on them have their answers.
    pub(crate) fn close(&self) {
        self.supervisor.end();
        self.shared.drop_links(|_link| true);
    }
}

impl Shared {
    fn is_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    fn drop_links(&self, lost: impl Fn(&Link) -> bool) {
        for lane in &self.lanes {
            lane.drop_if(&lost);
        }
        self.broken.notify_one();
    }

    /// A place on the connection that suits best; waits for one only while it may come.
    async fn seat(&self, traffic: Traffic, bytes: usize) -> Result<Seat, Fault> {
        if let Some((lane, link)) = self.best(traffic) {
            return lane.sit(link, bytes, self.config.queue_len_max).await;
        }
        let mut status = self.status.subscribe();
        loop {
            let seen = status.borrow_and_update().clone();
            if let Some((lane, link)) = self.best(traffic) {
                return lane.sit(link, bytes, self.config.queue_len_max).await;
            }
            if let Status::Down { kind, detail } = seen {
                return Err(Fault::new(kind, detail).untouched());
            }
            if status.changed().await.is_err() {
                let detail = "the connections were closed";
                return Err(Fault::new(ErrorKind::Closed, detail).untouched());
            }
        }
    }

    /// Of the lanes for this traffic that are up the one with the fewest bytes under way, or else
    /// any; but a wait for replicas would hold up whoever is behind it.
    fn best(&self, traffic: Traffic) -> Option<(&Lane, Link)> {
        let up = |lane: &&Lane| lane.is_up();
        let suited = self.lanes.iter().filter(|lane| lane.traffic == traffic).filter(up);
        let any = || self.lanes.iter().find(up).filter(|_| traffic != Traffic::Acknowledged);
        let lane = suited.min_by_key(|lane| lane.bytes_under_way()).or_else(any)?;
        Some((lane, lane.link()?))
    }

    /// Draws the consequences of an answer for the connection.
    fn judge<T>(
        &self,
        seat: &Seat,
        answer: Result<T, Fault>,
        progress: &Progress,
    ) -> Result<T, Fault> {
        let Err(fault) = &answer else { return answer };
        if fault.untouched {
            progress.undone();
        }
        match fault.then {
            Then::Replace => {
                for lane in &self.lanes {
                    lane.drop_link(seat.link.number);
                }
                self.broken.notify_one();
            }
            Then::Resolve => self.drop_links(|link| link.address == seat.link.address),
            _ => {}
        }
        answer
    }

    /// Fills the places that have no connection, as long as that works.
    async fn dial_missing(&self, pace: &mut Pace) {
        // Each once: a server that drops whoever has just connected must not be stormed.
        for lane in self.lanes.iter().filter(|lane| !lane.is_up()) {
            if !self.is_up() {
                self.status.send_replace(Status::Dialling);
            }
            match self.dial().await {
                Ok(link) => {
                    // Whoever is elsewhere is connected to what was the right server before.
                    self.drop_links(|other| other.address != link.address);
                    lane.install(link);
                    self.is_up_now();
                }
                Err(fault) => {
                    self.is_down_now(&fault);
                    pace.failed(fault.kind == ErrorKind::Rejected);
                    return;
                }
            }
        }
        pace.connected();
    }

    async fn dial(&self) -> Result<Link, Fault> {
        let address = self.locate.find(&self.config).await?;
        let dialled = dial::server(&self.config, &address, self.role).await?;
        Ok(self.link(dialled, address))
    }

    fn link(&self, dialled: Dialled, address: Address) -> Link {
        self.clock.learn(dialled.now_us, dialled.asked);
        Link {
            connection: dialled.connection,
            address: Arc::new(address),
            number: self.links.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn is_up_now(&self) {
        if !matches!(self.status.send_replace(Status::Up), Status::Up) {
            tracing::info!(server = %self.locate, "connected to Redis");
        }
    }

    fn is_down_now(&self, fault: &Fault) {
        if self.is_up() {
            return;
        }
        let down = Status::Down { kind: fault.kind, detail: fault.detail.clone() };
        if !matches!(self.status.send_replace(down), Status::Down { .. }) {
            tracing::warn!(server = %self.locate, cause = fault.detail, "no connection to Redis");
        }
    }

    /// Between two attempts nobody waits; if an attempt failed, its cause stands.
    fn is_lost_now(&self) {
        if !matches!(&*self.status.borrow(), Status::Down { .. }) {
            let detail = "the connection was lost, and the next one is not there yet";
            self.is_down_now(&Fault::new(ErrorKind::Unavailable, detail));
        }
    }

    /// Asks every connection for the time, and gives up those that owe too many answers.
    async fn ping(self: &Arc<Self>, missed: &mut [(usize, usize)]) {
        let mut pings = JoinSet::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            let Some(link) = lane.link() else { continue };
            let shared = Arc::clone(self);
            pings.spawn(async move { (at, link.number, shared.ping_one(link).await) });
        }
        while let Some(Ok((at, number, answered))) = pings.join_next().await {
            let (of, count) = &mut missed[at];
            *count = match answered {
                Some(true) => 0,
                Some(false) => usize::MAX,
                None if *of == number => *count + 1,
                None => 1,
            };
            *of = number;
            if *count >= self.missed_max(&self.lanes[at]) {
                self.lanes[at].drop_link(number);
                self.broken.notify_one();
            }
        }
    }

    /// Behind a large value or a wait for replicas an answer may be as late as any call.
    fn missed_max(&self, lane: &Lane) -> usize {
        let calls = self.config.timeout.as_millis().div_ceil(PING_EVERY.as_millis());
        match lane.traffic {
            Traffic::Small => PINGS_MISSED_MAX,
            Traffic::Bulk | Traffic::Acknowledged => {
                PINGS_MISSED_MAX.saturating_add(usize::try_from(calls).unwrap_or(usize::MAX))
            }
        }
    }

    /// `None` if no answer came in time.
    async fn ping_one(&self, mut link: Link) -> Option<bool> {
        let (asked, ping) = (std::time::Instant::now(), dial::ping());
        let answers = link.connection.send_packed_commands(&ping, 0, ping.len());
        let answers = tokio::time::timeout(PING_EVERY, answers).await.ok()?;
        match answers.map_err(Fault::from).and_then(dial::pong) {
            Ok((role, now_us)) if role == self.role => {
                self.clock.learn(now_us, asked);
                Some(true)
            }
            // It plays another part now, on every connection.
            Ok(_other) => {
                self.drop_links(|other| other.address == link.address);
                Some(false)
            }
            Err(_broken) => Some(false),
        }
    }

    /// Looks whether others say that another server is the primary now; if it says so, too, it is.
    async fn follow(&self) {
        let Some(connected) = self.lanes.iter().find_map(Lane::link) else { return };
        let Some(address) = self.locate.moved_from(&connected.address, &self.config).await else {
            return;
        };
        if let Ok(dialled) = dial::server(&self.config, &address, self.role).await {
            let link = self.link(dialled, address);
            self.drop_links(|other| other.address != link.address);
            if let Some(lane) = self.lanes.first() {
                lane.install(link);
                self.is_up_now();
            }
        }
    }
}

/// Never ends.
async fn supervise(shared: Arc<Shared>) {
    tokio::join!(keep_dialling(&shared), keep_asking(&shared), keep_following(&shared));
}

async fn keep_dialling(shared: &Shared) {
    let mut pace = Pace::new();
    loop {
        if !shared.lanes.iter().any(|lane| !lane.is_up()) {
            shared.broken.notified().await;
        } else if pace.is_due() {
            shared.dial_missing(&mut pace).await;
        } else {
            shared.is_lost_now();
            tokio::select! {
                () = tokio::time::sleep_until(pace.due()) => {}
                // Perhaps the last one that was left.
                () = shared.broken.notified() => {}
            }
        }
    }
}

async fn keep_asking(shared: &Arc<Shared>) {
    let mut missed = vec![(0, 0); shared.lanes.len()];
    let mut turns = tokio::time::interval(PING_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        shared.ping(&mut missed).await;
    }
}

async fn keep_following(shared: &Shared) {
    loop {
        tokio::time::sleep(PING_EVERY).await;
        shared.follow().await;
    }
}
