//! What a whole call does to the world, and what it tells.

use steadfast::session::Ended;

use super::call::{ABSOLUTE, Call, EVIDENCE, GRACE, PER_PRINCIPAL_MAX, micros};
use super::content::{Unfit, changed};
use super::generate::{Change, PRINCIPALS, Verb};
use super::world::{End, Id, Leads, Life, Reached, World};

/// What a caller is to be told.
#[derive(Debug)]
pub(super) enum Expected {
    /// This session, which lives under the id that it has then.
    Session {
        life: u32,
        made: bool,
    },
    Ended(Vec<Ended>),
    Updated {
        life: u32,
        output: usize,
        wrote: bool,
    },
    Done,
    /// There is nothing to end, unless it goes on elsewhere.
    Over(Vec<Ended>),
    Was(Vec<bool>),
    Devices,
    Full {
        live: usize,
    },
    Changed,
    Invalid,
}

/// How many renewals in the grace of one another a reader follows.
const HOPS_MAX: usize = 3;

/// A moment of the world, for one call.
pub(super) struct Attempt<'a> {
    pub(super) call: &'a Call,
    pub(super) now_us: u64,
    /// No part of the call failed.
    pub(super) sure: bool,
    pub(super) world: World,
}

impl Attempt<'_> {
    pub(super) fn run(mut self) -> (Expected, World) {
        let expected = self.expected();
        (expected, self.world)
    }

    fn expected(&mut self) -> Expected {
        let call = self.call;
        match &call.verb {
            Verb::Create => {
                self.birth(None);
                Expected::Session { life: call.number, made: true }
            }
            Verb::SignIn => self.sign_in(),
            Verb::Elevate => self.elevate(),
            Verb::Find => self.find(),
            Verb::Peek => {
                self.on_live(HOPS_MAX, |_, life, _| Expected::Session { life, made: false })
            }
            Verb::Update(effect) => self.update(*effect),
            Verb::Edit(changes) if changes.is_empty() => Expected::Done,
            Verb::Edit(changes) => self.edit(changes),
            Verb::Rotate(renewal) => self.rotate(*renewal),
            Verb::Destroy => self.destroy(),
            Verb::DestroyDevice => self.destroy_device(),
            Verb::DestroyAll => {
                self.world.end_all(call.who);
                Expected::Done
            }
            Verb::Devices => Expected::Devices,
        }
    }

    /// Goes on with the live session, if there is one, and the number of renewals that its caller
    /// had missed.
    fn on_live(
        &mut self,
        hops_max: usize,
        go_on: impl FnOnce(&mut Self, u32, usize) -> Expected,
    ) -> Expected {
        match self.world.reach(&self.call.id().expose(), self.now_us, hops_max) {
            Reached::Live { life, hops } => go_on(self, life, hops),
            Reached::Ended(told) => Expected::Ended(told),
        }
    }

    fn find(&mut self) -> Expected {
        let (now_us, sure) = (self.now_us, self.sure);
        self.on_live(HOPS_MAX, |this, life, _| {
            this.world.life(life).touch(now_us, sure);
            Expected::Session { life, made: false }
        })
    }

    fn update(&mut self, effect: bool) -> Expected {
        let (now_us, sure, number) = (self.now_us, self.sure, self.call.number);
        self.on_live(HOPS_MAX, |this, at, _| {
            let life = this.world.life(at);
            if effect {
                life.trail.push(number);
                life.write(now_us);
            } else {
                life.touch(now_us, sure);
            }
            Expected::Updated { life: at, output: life.trail.len(), wrote: effect }
        })
    }

    fn edit(&mut self, changes: &[Change]) -> Expected {
        let (now_us, sure) = (self.now_us, self.sure);
        self.on_live(HOPS_MAX, |this, life, _| {
            let life = this.world.life(life);
            match changed(life.named.clone(), changes) {
                Err(Unfit::Changed) => Expected::Changed,
                Err(Unfit::Invalid) => Expected::Invalid,
                Ok(named) if named == life.named => {
                    life.touch(now_us, sure);
                    Expected::Done
                }
                Ok(named) => {
                    life.named = named;
                    life.write(now_us);
                    Expected::Done
                }
            }
        })
    }

    fn rotate(&mut self, renewal: bool) -> Expected {
        self.on_live(usize::MAX, |this, life, hops| {
            if renewal && hops > 0 {
                return this.find();
            }
            this.rename(life, renewal);
            Expected::Session { life, made: true }
        })
    }

    fn destroy(&mut self) -> Expected {
        match self.world.reach(&self.call.id().expose(), self.now_us, usize::MAX) {
            Reached::Live { life, .. } => self.world.end(life, End::Gone),
            // An id that this world does not know.
            Reached::Ended(told) if told.is_empty() => return Expected::Ended(told),
            Reached::Ended(told) => return Expected::Over(told),
        }
        Expected::Done
    }

    fn destroy_device(&mut self) -> Expected {
        let label = self.call.device.as_ref().map(|device| device.label);
        let labelled = self.world.lives.iter().find(|(_, life)| life.label == label);
        let Some((&number, life)) = labelled else { return Expected::Was(vec![]) };
        match life.end {
            None if self.world.lists.iter().any(|list| list.contains(&number)) => {
                self.world.end(number, End::Gone);
                Expected::Was(vec![true])
            }
            // It is on the list until somebody looks.
            Some(End::Expired) => Expected::Was(vec![true, false]),
            Some(End::Gone) if self.world.alone => Expected::Was(vec![true, false]),
            _ => Expected::Was(vec![false]),
        }
    }

    fn sign_in(&mut self) -> Expected {
        let (who, number) = (self.call.who, self.call.number);
        if let Err(full) = self.make_room(who) {
            return full;
        }
        self.birth(Some(who));
        self.world.lists[who].push(number);
        Expected::Session { life: number, made: true }
    }

    fn elevate(&mut self) -> Expected {
        let (who, number) = (self.call.who, self.call.number);
        if let Some(owner) = self.owner() {
            if owner != who {
                return Expected::Invalid;
            }
            return self.rotate(false);
        }
        self.on_live(usize::MAX, |this, life, _| {
            if let Err(full) = this.make_room(who) {
                return full;
            }
            this.rename(life, false);
            let elevated = this.world.life(life);
            (elevated.owner, elevated.label) = (Some(who), Some(number));
            this.world.lists[who].push(life);
            Expected::Session { life, made: true }
        })
    }

    /// Whose an id is, which can be told from the id.
    fn owner(&self) -> Option<usize> {
        let group = |who: &usize| super::call::principal(*who).group();
        let name = self.call.id().expose();
        let is_of = |who: &usize| name.len() > 43 && group(who).as_str().contains(&name[43..]);
        (0..PRINCIPALS).find(is_of)
    }

    fn make_room(&mut self, who: usize) -> Result<(), Expected> {
        let live = self.world.lists[who].len();
        if live >= PER_PRINCIPAL_MAX && self.call.refuses {
            return Err(Expected::Full { live });
        }
        self.world.make_room(who);
        Ok(())
    }

    fn birth(&mut self, owner: Option<usize>) {
        let (number, now_us) = (self.call.number, self.now_us);
        let mut life = Life {
            id: number,
            owner,
            label: owner.map(|_| number),
            trail: Vec::new(),
            named: super::content::Named::new(),
            version: (0, false),
            born_us: now_us,
            id_born_us: now_us,
            idle_end_us: (0, 0),
            end_us: now_us + micros(ABSOLUTE),
            end: None,
        };
        life.write(now_us);
        self.world.lives.insert(number, life);
        self.world.ids.insert(number, Id { name: None, leads: Leads::To(number) });
    }

    fn rename(&mut self, number: u32, renewal: bool) {
        let (new, now_us) = (self.call.number, self.now_us);
        let life = self.world.life(number);
        let old = std::mem::replace(&mut life.id, new);
        life.id_born_us = now_us;
        life.write(now_us);
        let grace_end_us = if renewal { now_us + micros(GRACE) } else { now_us };
        let evidence_end_us = now_us + micros(EVIDENCE);
        let leads = Leads::On { id: new, grace_end_us, evidence_end_us };
        self.world.ids.get_mut(&old).unwrap().leads = leads;
        self.world.ids.insert(new, Id { name: None, leads: Leads::To(number) });
    }
}
