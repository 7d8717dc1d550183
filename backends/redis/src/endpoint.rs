//! One server, as its callers see it: a few connections, and what is said while there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::{Pipeline, Value};
use steadfast_backend::ErrorKind;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::clock::{Moment, ServerClock};
use crate::config::{Acknowledged, Address, RedisConfig};
use crate::dial::{self, Role};
use crate::error::{Fault, Then, nonsense, sound};
use crate::lane::{Lane, Link, Progress, Seat, Traffic};
use crate::locate::Locate;
use crate::question::{Answer, Question};
use crate::supervise::supervise;
use crate::task::Task;

pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    supervisor: Task,
}

pub(crate) struct Shared {
    pub(crate) config: Arc<RedisConfig>,
    pub(crate) locate: Locate,
    pub(crate) role: Role,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) clock: ServerClock,
    pub(crate) status: watch::Sender<Status>,
    /// Wakes the supervisor.
    pub(crate) broken: Notify,
    /// The last attempt to connect did not fail: what is missing may come soon.
    pub(crate) lanes_may_come: AtomicBool,
    pub(crate) links: AtomicUsize,
    /// The log tells of the outage already.
    pub(crate) told_down: AtomicBool,
}

/// What a caller is told that finds no connection.
#[derive(Clone, Debug)]
pub(crate) enum Status {
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
            lanes_may_come: AtomicBool::new(true),
            links: AtomicUsize::new(0),
            told_down: AtomicBool::new(false),
        });
        let supervisor = Task::spawn(supervise(Arc::clone(&shared)));
        Arc::new(Self { shared, supervisor })
    }

    /// Where it is, as far as there is a connection.
    pub(crate) fn address(&self) -> Option<Address> {
        self.shared.lanes.iter().find_map(Lane::link).map(|link| Address::clone(&link.address))
    }

    /// Where it is looked for.
    pub(crate) fn place(&self) -> &Locate {
        &self.shared.locate
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

    /// Gives up all connections, once those under way on them have their answers.
    pub(crate) fn close(&self) {
        self.supervisor.end();
        self.shared.drop_links(|_link| true);
    }
}

impl Shared {
    pub(crate) fn is_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    pub(crate) fn drop_links(&self, lost: impl Fn(&Link) -> bool) {
        for lane in &self.lanes {
            lane.drop_if(&lost);
        }
        self.broken.notify_one();
    }

    /// A place on the connection that suits best; waits for one only while it may come.
    async fn seat(&self, traffic: Traffic, bytes: usize) -> Result<Seat, Fault> {
        if let Some((lane, link)) = self.best(traffic, self.may_share(traffic, true)) {
            return lane.sit(link, bytes, self.config.queue_len_max).await;
        }
        let mut status = self.status.subscribe();
        // Whoever waits for a lane of its own must have time left to use another one.
        let own_until = Instant::now() + self.config.timeout / 2;
        let mut waits_for_own = true;
        loop {
            let seen = status.borrow_and_update().clone();
            let may_share = self.may_share(traffic, waits_for_own);
            if let Some((lane, link)) = self.best(traffic, may_share) {
                return lane.sit(link, bytes, self.config.queue_len_max).await;
            }
            if let Status::Down { kind, detail } = seen {
                return Err(Fault::new(kind, detail).untouched());
            }
            let changed = if waits_for_own {
                let changed = tokio::time::timeout_at(own_until, status.changed()).await;
                changed.unwrap_or_else(|_elapsed| {
                    waits_for_own = false;
                    Ok(())
                })
            } else {
                status.changed().await
            };
            if changed.is_err() {
                let detail = "the connections were closed";
                return Err(Fault::new(ErrorKind::Closed, detail).untouched());
            }
        }
    }

    /// Of the lanes for this traffic that are up the one with the fewest bytes under way, or else
    /// any that it may share.
    fn best(&self, traffic: Traffic, may_share: bool) -> Option<(&Lane, Link)> {
        let up = |lane: &&Lane| lane.is_up();
        let suited = self.lanes.iter().filter(|lane| lane.traffic == traffic).filter(up);
        let any = || self.lanes.iter().find(up).filter(|_| may_share);
        let lane = suited.min_by_key(|lane| lane.bytes_under_way()).or_else(any)?;
        Some((lane, lane.link()?))
    }

    /// Whether this traffic may use the lane of another kind while its own is down. Small values
    /// would wait behind large ones, so it may only once its own lane is not expected any more. A
    /// wait for replicas would hold up all others.
    fn may_share(&self, traffic: Traffic, waits_for_own: bool) -> bool {
        let expected = waits_for_own && self.lanes_may_come.load(Ordering::SeqCst);
        traffic != Traffic::Acknowledged && !expected
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
}
