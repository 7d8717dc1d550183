//! Runs a history on the real thing and follows the worlds that explain it.

use std::sync::Arc;

use steadfast::Store;
use steadfast::backend::{Version, Write};
use steadfast::idempotency::{Claim, OnLapse};

use crate::explain::{add, explain};
use crate::link::Link;
use crate::place::{Engine, Place};
use crate::turns::{block_on, interleave};

use super::accept::{Done, TOLERANCE_US, after, seen};
use super::call::{Answer, Call, Effects, Facts, Held, Process, Told, idempotency_key, scope};
use super::generate::{Advance, KEYS, Run, Step, Verb};
use super::world::World;

pub(super) struct History<'a> {
    place: &'a Place,
    namespace: String,
    link: Arc<Link>,
    process: Process,
    worlds: Vec<World>,
    /// Every claim that was handed out, the youngest last.
    claims: Vec<Held>,
    /// The versions that were looked at, the youngest last.
    looks: [Vec<Version>; KEYS],
    calls: u32,
}

type Answered = (Told, Option<Claim<Answer>>);

impl<'a> History<'a> {
    pub(super) fn check(place: &'a Place, steps: &[Step]) -> Result<(), String> {
        let namespace = place.namespace();
        let (link, process) = open(place, &namespace);
        let (worlds, claims) = (vec![World::default()], Vec::new());
        let looks = Default::default();
        let mut this = Self { place, namespace, link, process, worlds, claims, looks, calls: 0 };
        for step in steps {
            this.step(step)?;
            this.look()?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Together { runs, picks } => return self.together(runs, picks),
            Step::Advance(advance) => self.advance(*advance),
            Step::Evict { key } => self.evict(*key),
            Step::Restart { back } => self.restart(*back),
        }
        Ok(())
    }

    fn together(&mut self, runs: &[Run], picks: &[u8]) -> Result<(), String> {
        let mut free: Vec<_> = self.claims.iter_mut().map(Some).collect();
        let (mut fates, mut calls, mut futures) = (Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let number = self.calls + 1;
            let mut run = run.clone();
            if run.verb == Verb::CompleteWith && !self.place.transacts() {
                run.verb = Verb::Complete;
            }
            let Some((call, held)) = aim(&run, number, &mut free, &self.looks) else { continue };
            self.calls = number;
            fates.push(run.fates.clone());
            calls.push(call.clone());
            let process = &self.process;
            let future = async move { call.make(process, held).await };
            let future: crate::turns::Call<'_, Answered> = Box::pin(future);
            futures.push((future, run.drop_after));
        }
        self.link.expect(fates);
        let ended = interleave(futures, picks, |caller| self.link.enter(caller));
        let struck = self.link.struck();
        self.link.expect(Vec::new());
        let mut done = Vec::new();
        for ((call, ended), struck) in calls.into_iter().zip(ended).zip(struck) {
            let (told, claim) = ended.answer.unzip();
            if let (Some(Told::Acquired(facts, _)), Some(Some(claim))) = (&told, claim) {
                self.claims.push(Held { claim, facts: facts.clone() });
            }
            done.push(Done { call, told, struck: struck.0, turns: ended.turns });
        }
        self.follow(&done)
    }

    /// Keeps the worlds that explain what happened at one time.
    fn follow(&mut self, done: &[Done]) -> Result<(), String> {
        let (now_us, before) = (self.place.now_us(), self.worlds.clone());
        let ended_before = |one: &Done, other: &Done| one.turns.1 < other.turns.0;
        let apply = |world: &World, done: &Done| after(world, done, now_us);
        self.worlds = explain(std::mem::take(&mut self.worlds), done, ended_before, apply);
        self.worlds.retain_mut(World::keeps_its_word);
        if self.worlds.is_empty() {
            let before = before.first();
            return Err(format!("at {now_us} no order explains {done:#?}\nafter {before:#?}"));
        }
        Ok(())
    }

    /// Looks at every key and its effects without touching them.
    fn look(&mut self) -> Result<(), String> {
        let now_us = self.place.now_us();
        for world in &mut self.worlds {
            world.settle(now_us);
        }
        for key in 0..KEYS {
            let handle = self.process.handle(OnLapse::Refuse);
            let (scope, idempotency_key) = (scope(), idempotency_key(key));
            let status = alone(handle.status(&scope, &idempotency_key)).unwrap();
            let effects_key = self.process.effects_key(key);
            let effects = alone(self.process.store.get::<Effects>(&effects_key))
                .unwrap()
                .map_or(0, |effects| effects.value.0);
            let before = std::mem::take(&mut self.worlds);
            for world in &before {
                let seen = seen(world.clone(), key, status.as_ref(), effects, now_us);
                if let Some(world) = seen {
                    add(&mut self.worlds, world);
                }
            }
            if self.worlds.is_empty() {
                return Err(format!(
                    "at {now_us} key {key} is {status:#?} with {effects} effects, which none \
                     has of {before:#?}"
                ));
            }
            self.looks[key].extend(status.map(|status| status.version));
        }
        Ok(())
    }

    fn advance(&mut self, advance: Advance) {
        let now_us = self.place.now_us();
        let records = self.worlds.iter().flat_map(|world| world.keys.iter().flatten());
        let moments = records.flat_map(|record| [record.lease_end_us(), record.end_us()]);
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

    fn evict(&mut self, key: usize) {
        let is_it = |at: &steadfast::backend::Key| at.as_str().contains(":idempotency:");
        let backend = self.place.backend();
        for at in self.place.keys(&self.namespace).into_iter().filter(is_it) {
            // Its name is a hash; the version tells whose it is.
            let version = block_on(backend.get(&at)).unwrap().map(|entry| entry.version);
            if version.is_some() && version == self.looks[key].last().copied() {
                assert!(block_on(backend.write(&Write::delete(at))).is_ok());
                self.worlds.iter_mut().for_each(|world| world.forget(key));
            }
        }
    }

    fn restart(&mut self, back: bool) {
        const TEN_MINUTES_US: i64 = 600_000_000;
        // Nobody may have the old backend any more, and a dead process no claim.
        self.claims.clear();
        (self.link, self.process) = open(&Place::of(Engine::Memory), "nowhere");
        self.place.restart(if back { -TEN_MINUTES_US } else { TEN_MINUTES_US });
        (self.link, self.process) = open(self.place, &self.namespace);
        // The clock may have stopped near a deadline.
        self.advance(Advance::Seconds(0));
    }
}

/// What a run calls; `None` if there is nothing that it could be about.
fn aim<'a>(
    run: &Run,
    number: u32,
    free: &mut [Option<&'a mut Held>],
    looks: &[Vec<Version>; KEYS],
) -> Option<(Call, Option<&'a mut Held>)> {
    let (verb, on_lapse) = (run.verb, run.on_lapse);
    let call = Call { verb, number, key: run.key, on_lapse, facts: None, looked: None };
    match verb {
        Verb::Begin(_) => Some((call, None)),
        Verb::Resolve { looks: ago, .. } => {
            let looked = Some(*looks[run.key].iter().rev().nth(ago)?);
            Some((Call { looked, ..call }, None))
        }
        _ => {
            let at = free.len().checked_sub(1 + run.claim)?;
            let held = free[at].take()?;
            held.facts.say(verb);
            let (key, facts) = (held.facts.key, Some(held.facts.clone()));
            Some((Call { key, facts, ..call }, Some(held)))
        }
    }
}

impl Facts {
    /// What a holder says once, it goes on saying, whether the store has heard it or not.
    fn say(&mut self, verb: Verb) {
        if let Verb::SaveCheckpoint(at) = verb {
            self.checkpoint = Some(at);
        }
        self.effects_started |= matches!(verb, Verb::MarkEffects | Verb::SaveCheckpoint(_));
    }
}

fn open(place: &Place, namespace: &str) -> (Arc<Link>, Process) {
    let link = Link::to(place.backend());
    let store = Store::builder(link.clone()).namespace(namespace).attempts(1).build().unwrap();
    (link, Process::on(store))
}

/// Alone, a call has all turns.
fn alone<T>(call: impl Future<Output = T>) -> T {
    let mut ended =
        interleave(vec![(Box::pin(call) as crate::turns::Call<'_, T>, None)], &[], |_| {});
    ended.pop().and_then(|ended| ended.answer).unwrap()
}
