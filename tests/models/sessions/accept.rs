//! Whether what a caller was told fits a world, and what the world learns from it.

use steadfast::session::{Device, Ended};

use super::attempt::{Attempt, Expected};
use super::call::{ABSOLUTE, Call, IDLE, Shown, Told, micros, principal};
use super::generate::Verb;
use super::world::{Life, Reached, World};

/// Deadlines are kept in milliseconds, and versions run ahead of the time. No step happens so
/// close to a deadline.
pub(super) const TOLERANCE_US: u64 = 5_000;

/// A call that has ended, as its caller saw it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) call: Call,
    /// `None` if it was dropped.
    pub(super) told: Option<Told>,
    /// Where keys change alone, the room that a sign-in makes comes first, and may be all of it.
    pub(super) room: bool,
    /// It met a fault.
    pub(super) struck: bool,
    /// No other call was under way.
    pub(super) alone: bool,
    pub(super) turns: (usize, usize),
}

/// The worlds that a call can leave which ended so; none if it could not.
pub(super) fn after(world: &World, done: &Done, now_us: u64) -> Vec<World> {
    let attempt = |sure| {
        let world = world.clone();
        Attempt { call: &done.call, now_us, sure, world }.run()
    };
    if done.room {
        return with_or_without(world, |world| world.make_room(done.call.who));
    }
    match &done.told {
        Some(Told::Failed { .. }) if !done.struck => vec![],
        Some(Told::Failed { ambiguous: false, .. }) => vec![world.clone()],
        // The second of its trips may have failed that would have told that the list was changed.
        Some(Told::Devices(_)) if done.struck && !done.alone => vec![world.clone()],
        // Nobody was told the id.
        None | Some(Told::Failed { .. }) if done.call.verb == Verb::Create => vec![world.clone()],
        None | Some(Told::Failed { .. }) if world.alone && done.call.verb == Verb::Elevate => {
            let listed = attempt(false);
            let mut worlds = vec![world.clone(), listed.1];
            worlds.extend(listed_alone(world, &done.call, now_us));
            worlds
        }
        None | Some(Told::Failed { .. }) => vec![world.clone(), attempt(false).1],
        Some(told) => {
            // Who loses a race to touch a session does not see what the winner has set.
            let (expected, after) = attempt(done.alone && !done.struck);
            let judge = Judge { call: &done.call, struck: done.struck, now_us, world: after };
            let mut worlds: Vec<_> = judge.accepts(&expected, told).into_iter().collect();
            if done.struck && tells_of_the_end(&done.call.verb, told) {
                worlds.extend(doomed(world, &done.call, now_us, attempt(false).1));
            }
            worlds
        }
    }
}

fn with_or_without(world: &World, change: impl FnOnce(&mut World)) -> Vec<World> {
    let (mut with, without) = (world.clone(), world.clone());
    change(&mut with);
    vec![with, without]
}

/// The new session was put on the list, and the old id was not ended by this call: nobody has the
/// new one.
fn listed_alone(world: &World, call: &Call, now_us: u64) -> Option<World> {
    let old = world.life_of(&call.id.as_ref()?.expose())?;
    let (born_us, end_us) = (world.lives[&old].born_us, world.lives[&old].end_us);
    let sign_in = Call { verb: Verb::SignIn, ..call.clone() };
    let attempt = Attempt { call: &sign_in, now_us, sure: false, world: world.clone() };
    let (Expected::Session { life, .. }, mut world) = attempt.run() else { return None };
    let life = world.life(life);
    (life.born_us, life.end_us) = (born_us, end_us);
    Some(world)
}

/// Whether that is what a call is told whose session was over when it looked again. Who had given
/// it a new id finds the mark of that.
fn tells_of_the_end(verb: &Verb, told: &Told) -> bool {
    match told {
        Told::Ended(Ended::Missing | Ended::Revoked) => true,
        Told::Ended(Ended::RotatedOut) => matches!(verb, Verb::Rotate(_) | Verb::Elevate),
        _ => false,
    }
}

/// The call was made, its reply was lost, and when it looked again the session was over.
fn doomed(world: &World, call: &Call, now_us: u64, mut after: World) -> Option<World> {
    let reached = world.reach(&call.id.as_ref()?.expose(), now_us, usize::MAX);
    let Reached::Live { life, .. } = reached else { return None };
    after.doomed.push(life);
    Some(after)
}

struct Judge<'a> {
    call: &'a Call,
    struck: bool,
    now_us: u64,
    world: World,
}

impl Judge<'_> {
    fn accepts(mut self, expected: &Expected, told: &Told) -> Option<World> {
        let peeked = self.call.verb == Verb::Peek;
        let fits = match (expected, told) {
            (Expected::Session { life, made }, Told::Session(shown)) => {
                self.is_shown(*life, *made, shown)
            }
            (Expected::Ended(any), Told::Ended(_)) if peeked => !any.is_empty(),
            (Expected::Ended(any), Told::Ended(ended)) => any.contains(ended),
            (Expected::Over(any), Told::Ended(Ended::RotatedOut)) => {
                any.contains(&Ended::RotatedOut)
            }
            (Expected::Over(any), Told::Done) => any.iter().any(|end| *end != Ended::RotatedOut),
            (Expected::Updated { life, output, wrote }, Told::Updated { output: o, version }) => {
                let life = self.world.life(*life);
                // Who had to look again sees what others have written by then.
                let exact = !(self.struck && *wrote);
                let last = life.version.0;
                let fits = output == o && life.has_version(*version, *wrote);
                life.version = if exact { life.version } else { (last, false) };
                fits
            }
            (Expected::Was(any), Told::Was(was)) => any.contains(was),
            (Expected::Devices, Told::Devices(devices)) => self.are_listed(devices),
            (Expected::Full { live }, Told::Full { live: l }) => live == l,
            (Expected::Done, Told::Done)
            | (Expected::Changed, Told::Changed)
            | (Expected::Invalid, Told::Invalid) => true,
            _ => false,
        };
        fits.then_some(self.world)
    }

    fn is_shown(&mut self, number: u32, made: bool, shown: &Shown) -> bool {
        let (now_us, peeked) = (self.now_us, self.call.verb == Verb::Peek);
        let id = self.world.lives[&number].id;
        if !self.is_named(id, shown.id.expose()) {
            return false;
        }
        let life = self.world.life(number);
        let owner = life.owner.map(|owner| principal(owner).name().to_owned());
        let absolute_us = life.end_us - now_us;
        let renewal_due = !made && now_us >= life.id_born_us + micros(super::call::RENEWAL);
        (&shown.trail, &shown.named) == (&life.trail, &life.named)
            && shown.principal == owner
            && shown.absolute_us.abs_diff(absolute_us) < TOLERANCE_US
            && shown.renewal_due == renewal_due
            && life.has_version(shown.version, made)
            && life.has_idle_left(shown.idle_us, now_us, peeked)
    }

    /// The id has this name, from now on if it had none.
    fn is_named(&mut self, id: u32, name: String) -> bool {
        let taken = self.world.ids.values().any(|other| other.name.as_ref() == Some(&name));
        let id = self.world.ids.get_mut(&id).unwrap();
        match &id.name {
            Some(known) => *known == name,
            None if taken => false,
            None => {
                id.name = Some(name);
                true
            }
        }
    }

    fn are_listed(&mut self, devices: &[Device]) -> bool {
        let (now_us, list) = (self.now_us, self.world.lists[self.call.who].clone());
        let asking = self.call.id.as_ref().map(steadfast::session::SessionId::expose);
        let is_listed = |(number, device): (u32, &Device)| {
            let id = self.world.ids[&self.world.lives[&number].id].name.clone();
            let life = self.world.life(number);
            life.label.map(|label| label.to_string()).as_ref() == Some(&device.label)
                && micros(device.age).abs_diff(now_us - life.born_us) < TOLERANCE_US
                && device.current == (id.is_some() && asking == id)
                && life.has_idle_left(micros(device.idle_left), now_us, true)
        };
        list.len() == devices.len() && list.into_iter().zip(devices).all(is_listed)
    }
}

impl Life {
    /// A version grows with each write and stays between them.
    fn has_version(&mut self, version: u64, wrote: bool) -> bool {
        let (last, exact) = self.version;
        self.version = (version, true);
        if exact && !wrote { version == last } else { version > last }
    }

    /// What a session is said to have left, it has; and if it was not touched, no more.
    fn has_idle_left(&mut self, left_us: u64, now_us: u64, untouched: bool) -> bool {
        let (first, last) = self.idle_end_us;
        let most_us = micros(IDLE).min(self.end_us - now_us);
        let least_us = first.saturating_sub(now_us).min(most_us);
        if left_us > most_us + TOLERANCE_US || left_us + TOLERANCE_US < least_us {
            return false;
        }
        let end_us = now_us + left_us;
        self.idle_end_us.0 = first.max(end_us);
        if untouched && left_us + TOLERANCE_US < most_us {
            self.idle_end_us.1 = last.min(end_us + TOLERANCE_US);
        }
        self.idle_end_us.1 = self.idle_end_us.1.max(self.idle_end_us.0);
        debug_assert!(left_us <= micros(ABSOLUTE));
        end_us <= last.max(self.end_us) + TOLERANCE_US
    }
}
