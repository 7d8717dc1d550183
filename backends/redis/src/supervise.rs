//! Keeps the connections of an endpoint alive.
//!
//! There is one dialler: however many callers wait, there is one attempt at a time, with a pause
//! after each that fails. Every half second each connection is asked for the time; one that owes
//! two answers is replaced, because a link may break without a word.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_backend::ErrorKind;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config::{Address, Servers};
use crate::dial::{self, Acquaintance, Dialled, Role};
use crate::endpoint::{Shared, Status};
use crate::error::Fault;
use crate::lane::{Lane, Link, Traffic};
use crate::pace::Pace;

/// How often a connection is asked for the time.
const PING_EVERY: Duration = Duration::from_millis(500);
/// How many answers in a row may be late.
const PINGS_MISSED_MAX: usize = 2;

/// Never ends.
pub(crate) async fn supervise(shared: Arc<Shared>) {
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

impl Shared {
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
                    self.lanes_may_come.store(true, Ordering::SeqCst);
                    lane.install(link);
                    self.is_up_now();
                }
                Err(fault) => {
                    self.is_down_now(&fault);
                    self.share_lanes();
                    pace.failed(!fault.is_outage());
                    return;
                }
            }
        }
        pace.connected();
    }

    /// Who waited for a lane that did not come up takes another one.
    fn share_lanes(&self) {
        self.lanes_may_come.store(false, Ordering::SeqCst);
        self.status.send_modify(|_same| {});
    }

    async fn dial(&self) -> Result<Link, Fault> {
        let address = self.locate.find(&self.config).await?;
        let acquaintance = Acquaintance::known(self.was_up() || self.is_told_of());
        let dialled = dial::server(&self.config, &address, self.role, acquaintance).await;
        let dialled = dialled.map_err(|fault| self.locate.led_to(fault))?;
        Ok(self.link(dialled, address))
    }

    fn was_up(&self) -> bool {
        self.links.load(Ordering::Relaxed) > 0
    }

    /// Whether its address comes from other servers, and not from the settings.
    fn is_told_of(&self) -> bool {
        self.role == Role::Replica || matches!(self.config.servers, Servers::Cluster(_))
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
        self.told_down.store(false, Ordering::Relaxed);
        if !matches!(self.status.send_replace(Status::Up), Status::Up) {
            tracing::info!(server = %self.locate, "connected to Redis");
        }
    }

    fn is_down_now(&self, fault: &Fault) {
        if self.is_up() {
            return;
        }
        let down = Status::Down { kind: fault.kind, detail: fault.detail.clone() };
        self.status.send_replace(down);
        // Once an outage, not once an attempt.
        if !self.told_down.swap(true, Ordering::Relaxed) {
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
            Ok((hello, now_us)) if hello.role == Some(self.role) => {
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
        let dialled = dial::server(&self.config, &address, self.role, Acquaintance::Known);
        if let Ok(dialled) = dialled.await {
            let link = self.link(dialled, address);
            self.drop_links(|other| other.address != link.address);
            if let Some(lane) = self.lanes.first() {
                lane.install(link);
                self.is_up_now();
            }
        }
    }
}
