//! Runs a history on the real thing and follows the worlds that explain it.

use std::sync::Arc;

use steadfast::session::{AtLimit, SessionId};
use steadfast::{Sessions, Store};

use crate::explain::{add, explain};
use crate::link::Link;
use crate::place::Place;
use crate::turns::interleave;

use super::accept::{Done, TOLERANCE_US, after};
use super::call::{ABSOLUTE, Call, EVIDENCE, Listed, Told, micros, replica};
use super::content::Trail;
use super::generate::{Advance, PRINCIPALS, Run, Step, Verb};
use super::world::{Reached, World};

/// As many ids are looked at after each step.
const WATCHED: usize = 16;
/// When so much is open, the lists are looked at, too.
const WORLDS_MAX: usize = 24;

pub(super) struct History<'a> {
    pub(super) place: &'a Place,
    pub(super) namespace: String,
    pub(super) link: Arc<Link>,
    /// The one that evicts at the limit, and the one that refuses.
    pub(super) replicas: [Sessions<Trail>; 2],
    pub(super) worlds: Vec<World>,
    /// Every id that was handed out, the youngest last.
    pub(super) ids: Vec<SessionId>,
    devices: Vec<Listed>,
    calls: u32,
}

impl<'a> History<'a> {
    pub(super) fn check(place: &'a Place, steps: &[Step]) -> Result<(), String> {
        let namespace = place.namespace();
        let (link, replicas) = open(place, &namespace);
        let worlds = vec![World { alone: !place.transacts(), ..World::default() }];
        let (ids, devices) = (Vec::new(), Vec::new());
        let mut this = Self { place, namespace, link, replicas, worlds, ids, devices, calls: 0 };
        for step in steps {
            this.step(step)?;
            this.look()?;
        }
        this.look_at_lists()?;
        this.drain()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Together { runs, picks } => self.together(runs, picks),
            Step::Advance(advance) => {
                self.advance(*advance);
                Ok(())
            }
            Step::Damage { record, at, damage } => self.damage(*record, *at, *damage),
            Step::Restart { back } => {
                self.restart(*back);
                Ok(())
            }
        }
    }

    fn together(&mut self, runs: &[Run], picks: &[u8]) -> Result<(), String> {
        let aimed = runs.iter().filter_map(|run| Some((run, self.aim(run)?)));
        let aimed = aimed.collect::<Vec<_>>().into_iter();
        let spared = aimed.map(|(run, call)| (self.spared(run, &call), call));
        let (runs, calls): (Vec<_>, Vec<_>) = spared.unzip();
        self.link.expect(runs.iter().map(|run| run.fates.clone()).collect());
        let futures = runs.iter().zip(&calls).map(|(run, call)| {
            let sessions = &self.replicas[usize::from(call.refuses)];
            (Box::pin(call.make(sessions)) as crate::turns::Call<'_, Told>, run.drop_after)
        });
        let ended = interleave(futures.collect(), picks, |caller| self.link.enter(caller));
        let (struck, alone) = (self.link.struck(), calls.len() == 1);
        self.link.expect(Vec::new());
        let done = calls.iter().zip(ended).zip(struck).map(|((call, ended), struck)| Done {
            call: call.clone(),
            told: ended.answer,
            room: false,
            struck: struck.0,
            alone,
            turns: ended.turns,
        });
        let mut done = done.collect::<Vec<_>>();
        if !self.place.transacts() {
            add_rooms(&mut done);
        }
        self.follow(&done)
    }

    /// Where keys change alone, a rotation that is cut off may leave the session a second name for
    /// a while, which is more than the worlds know: `promises/sessions/in_order.rs` looks at that.
    fn spared(&self, run: &Run, call: &Call) -> Run {
        let rotates = matches!(run.verb, Verb::Rotate(_) | Verb::Elevate);
        let signed_in = call.id.as_ref().is_some_and(|id| id.expose().len() > 43);
        if self.place.transacts() || !rotates || !signed_in {
            return run.clone();
        }
        Run { fates: Vec::new(), drop_after: None, ..run.clone() }
    }

    /// What a run calls; `None` if there is nothing yet that it could be about.
    fn aim(&mut self, run: &Run) -> Option<Call> {
        let place = self.ids.len().checked_sub(1 + run.id % self.ids.len().max(1));
        let id = place.map(|place| self.ids[place].clone());
        let device = self.devices.get(run.id % self.devices.len().max(1)).cloned();
        match &run.verb {
            Verb::Create | Verb::SignIn | Verb::DestroyAll | Verb::Devices => {}
            Verb::DestroyDevice if device.is_some() => {}
            _ if run.verb != Verb::DestroyDevice && id.is_some() => {}
            _ => return None,
        }
        self.calls += 1;
        let (verb, number) = (run.verb.clone(), self.calls);
        Some(Call { verb, number, id, who: run.who, device, refuses: run.refuses })
    }

    /// Keeps the worlds that explain what happened at one time.
    pub(super) fn follow(&mut self, done: &[Done]) -> Result<(), String> {
        let (now_us, before) = (self.place.now_us(), self.worlds.clone());
        let ended_before = |one: &Done, other: &Done| {
            let prepares = one.room && !other.room && one.call.number == other.call.number;
            prepares || one.turns.1 < other.turns.0
        };
        let apply = |world: &World, done: &Done| after(world, done, now_us);
        self.worlds = explain(std::mem::take(&mut self.worlds), done, ended_before, apply);
        self.worlds.retain_mut(World::keeps_its_word);
        if self.worlds.is_empty() {
            let before = before.first();
            return Err(format!("at {now_us} no order explains {done:#?}\nafter {before:#?}"));
        }
        for told in done.iter().filter_map(|done| done.told.as_ref()) {
            self.learn(told);
        }
        Ok(())
    }

    fn learn(&mut self, told: &Told) {
        match told {
            Told::Session(shown) => add(&mut self.ids, shown.id.clone()),
            Told::Devices(devices) => {
                let labels = devices.iter().map(|device| device.label.parse().unwrap());
                let known = devices.iter().zip(labels).filter_map(|(device, label)| {
                    let (who, short_id) = (self.owner_of(label)?, device.short_id.clone());
                    Some(Listed { who, short_id, label })
                });
                let known = known.collect::<Vec<_>>();
                self.devices.retain(|old| known.iter().all(|new| new.label != old.label));
                self.devices.extend(known);
            }
            _ => {}
        }
    }

    /// `None` if that session is not there in every world.
    fn owner_of(&self, label: u32) -> Option<usize> {
        let mut owners = self.worlds.iter().map(|world| {
            let mut lives = world.lives.values();
            lives.find(|life| life.label == Some(label)).and_then(|life| life.owner)
        });
        let owner = owners.next()?;
        owner.filter(|_| owners.all(|other| other == owner))
    }

    /// Looks at every id without touching it.
    fn look(&mut self) -> Result<(), String> {
        let now_us = self.place.now_us();
        let mut settled = Vec::new();
        for world in std::mem::take(&mut self.worlds) {
            world.settled(now_us).into_iter().for_each(|world| add(&mut settled, world));
        }
        self.worlds = settled;
        for at in self.ids.len().saturating_sub(WATCHED)..self.ids.len() {
            let id = self.ids[at].clone();
            // Who finds nothing touches nothing, and is told why.
            let ended = |world: &World| {
                matches!(world.reach(&id.expose(), now_us, usize::MAX), Reached::Ended(_))
            };
            let verb = if self.worlds.iter().all(ended) { Verb::Find } else { Verb::Peek };
            self.ask(verb, Some(id), 0)?;
        }
        if self.worlds.len() > WORLDS_MAX { self.look_at_lists() } else { Ok(()) }
    }

    pub(super) fn look_at_lists(&mut self) -> Result<(), String> {
        (0..PRINCIPALS).try_for_each(|who| self.ask(Verb::Devices, None, who))
    }

    /// One call that nothing disturbs.
    fn ask(&mut self, verb: Verb, id: Option<SessionId>, who: usize) -> Result<(), String> {
        let call = Call { verb, number: 0, id, who, device: None, refuses: false };
        let told = Some(block_on_turns(call.make(&self.replicas[0])));
        let (room, struck, alone, turns) = (false, false, true, (0, 0));
        self.follow(&[Done { call, told, room, struck, alone, turns }])
    }

    /// Lets time pass, but stops near no moment at which something ends: which side of it that is
    /// would be a matter of milliseconds.
    fn advance(&mut self, advance: Advance) {
        let now_us = self.place.now_us();
        let moments = self.worlds.iter().flat_map(World::moments_us);
        let mut moments: Vec<_> = moments.filter(|moment| *moment > now_us).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut then_us = match advance {
            Advance::Seconds(seconds) => now_us + seconds * 1_000_000,
            Advance::To { .. } if moments.is_empty() => return,
            Advance::To { moment, before } => {
                let moment_us = moments[moment % moments.len()];
                if before { moment_us - 2 * TOLERANCE_US } else { moment_us + 2 * TOLERANCE_US }
            }
        };
        while moments.iter().any(|moment| moment.abs_diff(then_us) < 2 * TOLERANCE_US) {
            then_us += 2 * TOLERANCE_US;
        }
        self.place.advance_us(then_us.saturating_sub(now_us));
    }

    fn restart(&mut self, back: bool) {
        const TEN_MINUTES_US: i64 = 600_000_000;
        // Nobody may have the old backend any more.
        let (link, replicas) = open_nowhere();
        (self.link, self.replicas) = (link, replicas);
        self.place.restart(if back { -TEN_MINUTES_US } else { TEN_MINUTES_US });
        (self.link, self.replicas) = open(self.place, &self.namespace);
        // The clock may have stopped near a deadline.
        self.advance(Advance::Seconds(0));
    }

    /// When all deadlines are over, nothing is left.
    fn drain(&mut self) -> Result<(), String> {
        self.place.advance_us(micros(ABSOLUTE * 2 + EVIDENCE));
        self.look()?;
        self.look_at_lists()?;
        let left = self.place.keys(&self.namespace);
        if left.is_empty() { Ok(()) } else { Err(format!("left for ever: {left:?}")) }
    }
}

/// Each time that a sign-in is overtaken it may have ended a session for nothing.
fn add_rooms(done: &mut Vec<Done>) {
    let signs_in = |done: &&Done| matches!(done.call.verb, Verb::SignIn | Verb::Elevate);
    let refusing = done.iter().filter(signs_in).filter(|done| done.call.refuses).count();
    let evicting = done.iter().filter(signs_in).filter(|done| !done.call.refuses);
    let room = |of: &Done| Done {
        call: of.call.clone(),
        told: None,
        room: true,
        struck: false,
        alone: false,
        turns: of.turns,
    };
    let rooms: Vec<_> = evicting.flat_map(|of| (0..=refusing).map(|_| room(of))).collect();
    done.extend(rooms);
}

fn open(place: &Place, namespace: &str) -> (Arc<Link>, [Sessions<Trail>; 2]) {
    let link = Link::to(place.backend());
    let replica = |at_limit| {
        let store = Store::builder(link.clone()).namespace(namespace).attempts(1).build().unwrap();
        replica(&store, at_limit)
    };
    let replicas = [AtLimit::EvictOldest, AtLimit::Refuse].map(replica);
    (link, replicas)
}

fn open_nowhere() -> (Arc<Link>, [Sessions<Trail>; 2]) {
    open(&Place::of(crate::place::Engine::Memory), "nowhere")
}

/// Alone, a call has all turns.
pub(super) fn block_on_turns<T>(call: impl Future<Output = T>) -> T {
    let mut ended =
        interleave(vec![(Box::pin(call) as crate::turns::Call<'_, T>, None)], &[], |_| {});
    ended.pop().and_then(|ended| ended.answer).unwrap()
}
