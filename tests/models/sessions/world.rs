//! What may be true: sessions, the ids that lead to them, and the lists they are on.

use std::collections::BTreeMap;

use steadfast::session::Ended;

use super::call::{IDLE, PER_PRINCIPAL_MAX, RENEWAL, SLACK, micros};
use super::content::Named;
use super::generate::PRINCIPALS;

/// Things are numbered after the call that made them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct World {
    pub(super) ids: BTreeMap<u32, Id>,
    pub(super) lives: BTreeMap<u32, Life>,
    /// Live sessions only, the oldest first.
    pub(super) lists: [Vec<u32>; PRINCIPALS],
    /// Sessions whose end somebody was told after a call that may have come before it.
    pub(super) doomed: Vec<u32>,
    /// Where keys change alone.
    pub(super) alone: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Id {
    /// As it is exposed; `None` if nobody was told.
    pub(super) name: Option<String>,
    pub(super) leads: Leads,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leads {
    To(u32),
    /// It was rotated away, and another id leads on.
    On {
        id: u32,
        /// Until then it is followed.
        grace_end_us: u64,
        /// Until then it is known that it was rotated away.
        evidence_end_us: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Life {
    pub(super) id: u32,
    pub(super) owner: Option<usize>,
    pub(super) label: Option<u32>,
    pub(super) trail: Vec<u32>,
    pub(super) named: Named,
    /// What the last one was at least, and whether it is just that.
    pub(super) version: (u64, bool),
    pub(super) born_us: u64,
    pub(super) id_born_us: u64,
    /// If it is not used, it ends between these.
    pub(super) idle_end_us: (u64, u64),
    /// It ends then in any case.
    pub(super) end_us: u64,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was ended, or had to make room.
    Gone,
    Expired,
    Revoked,
}

/// Where an id leads.
#[derive(Debug)]
pub(super) enum Reached {
    Live {
        life: u32,
        hops: usize,
    },
    /// And what may be told about it.
    Ended(Vec<Ended>),
}

impl World {
    pub(super) fn reach(&self, name: &str, now_us: u64, hops_max: usize) -> Reached {
        let named = |id: &&Id| id.name.as_deref() == Some(name);
        let Some(mut id) = self.ids.values().find(named) else { return Reached::Ended(vec![]) };
        let mut hops = 0;
        loop {
            match id.leads {
                Leads::To(life) if self.lives[&life].end.is_none() => {
                    return Reached::Live { life, hops };
                }
                Leads::To(life) => {
                    let mut told = self.lives[&life].ended(now_us);
                    // A log-out that a log-out everywhere overtook removes what is over.
                    told.extend(self.alone.then_some(Ended::Missing));
                    return Reached::Ended(told);
                }
                Leads::On { id: next, grace_end_us, .. } if now_us < grace_end_us => {
                    if hops == hops_max {
                        return Reached::Ended(vec![Ended::RotatedOut]);
                    }
                    (id, hops) = (&self.ids[&next], hops + 1);
                }
                Leads::On { id: next, evidence_end_us, .. } => {
                    let mut told = vec![Ended::Missing];
                    if now_us < evidence_end_us {
                        told = vec![Ended::RotatedOut];
                        let end = self.lives[&self.last(next)].end;
                        told.extend((end == Some(End::Revoked)).then_some(Ended::Revoked));
                        // Who ends all names of a device ends those that lead nowhere, too.
                        let may_be_gone = self.alone && end.is_some();
                        told.extend(may_be_gone.then_some(Ended::Missing));
                    }
                    return Reached::Ended(told);
                }
            }
        }
    }

    /// The session that an id belongs to, whatever became of it.
    pub(super) fn life_of(&self, name: &str) -> Option<u32> {
        let id = self.ids.iter().find(|(_, id)| id.name.as_deref() == Some(name));
        id.map(|(id, _)| self.last(*id))
    }

    /// The session at the end of all rotations.
    fn last(&self, mut id: u32) -> u32 {
        loop {
            match self.ids[&id].leads {
                Leads::To(life) => return life,
                Leads::On { id: next, .. } => id = next,
            }
        }
    }

    pub(super) fn life(&mut self, life: u32) -> &mut Life {
        self.lives.get_mut(&life).unwrap()
    }

    pub(super) fn end(&mut self, life: u32, end: End) {
        self.life(life).end = Some(end);
        for list in &mut self.lists {
            list.retain(|listed| *listed != life);
        }
    }

    /// The oldest sessions of a principal end at the limit.
    pub(super) fn make_room(&mut self, who: usize) {
        while self.lists[who].len() >= PER_PRINCIPAL_MAX {
            let oldest = self.lists[who][0];
            self.end(oldest, End::Gone);
        }
    }

    /// At the end of a step: what somebody was told to be over is over.
    pub(super) fn keeps_its_word(&mut self) -> bool {
        let doomed = std::mem::take(&mut self.doomed);
        doomed.iter().all(|life| self.lives[life].end.is_some())
    }

    pub(super) fn end_all(&mut self, who: usize) {
        let of_who = |(_, life): &(&u32, &Life)| life.owner == Some(who) && life.end.is_none();
        let lives: Vec<_> = self.lives.iter().filter(of_who).map(|(number, _)| *number).collect();
        for life in lives {
            self.end(life, End::Revoked);
        }
    }

    /// The same at a later time: where it is open whether a session has expired, both.
    pub(super) fn settled(mut self, now_us: u64) -> Vec<Self> {
        let (mut open, known) = (Vec::new(), self.known(now_us));
        let numbers: Vec<_> =
            self.lives.iter().filter(|(_, life)| life.end.is_none()).map(|(at, _)| *at).collect();
        for number in numbers {
            let life = &self.lives[&number];
            // Otherwise nobody can tell whether it is there.
            let is_known =
                known.contains(&number) || self.lists.iter().any(|list| list.contains(&number));
            if !is_known || now_us >= life.end_us.min(life.idle_end_us.1) {
                self.end(number, End::Expired);
            } else if now_us >= life.idle_end_us.0 {
                open.push(number);
            }
        }
        open.into_iter().fold(vec![self], |worlds, number| {
            let both = |world: Self| {
                let (mut expired, mut live) = (world.clone(), world);
                expired.end(number, End::Expired);
                live.life(number).idle_end_us.0 = now_us + 1;
                [expired, live]
            };
            worlds.into_iter().flat_map(both).collect()
        })
    }

    /// The sessions that somebody has an id of.
    fn known(&self, now_us: u64) -> Vec<u32> {
        let names = self.ids.values().filter_map(|id| id.name.as_ref());
        let reached = names.map(|name| self.reach(name, now_us, usize::MAX));
        let live = |reached| match reached {
            Reached::Live { life, .. } => Some(life),
            Reached::Ended(_) => None,
        };
        reached.filter_map(live).collect()
    }

    /// When something ends.
    pub(super) fn moments_us(&self) -> Vec<u64> {
        let live = self.lives.values().filter(|life| life.end != Some(End::Gone));
        let of_life = |life: &Life| {
            let (first, last) = life.idle_end_us;
            [first, last, life.end_us, life.id_born_us + micros(RENEWAL)]
        };
        let of_id = |id: &Id| match id.leads {
            Leads::To(_) => [0, 0],
            Leads::On { grace_end_us, evidence_end_us, .. } => [grace_end_us, evidence_end_us],
        };
        live.flat_map(of_life).chain(self.ids.values().flat_map(of_id)).collect()
    }
}

impl Life {
    /// What may be told about a session that is over.
    fn ended(&self, now_us: u64) -> Vec<Ended> {
        let (first, last) = self.idle_end_us;
        match self.end {
            Some(End::Revoked) if now_us < first.min(self.end_us) => vec![Ended::Revoked],
            Some(End::Revoked) if now_us < last => vec![Ended::Revoked, Ended::Missing],
            _ => vec![Ended::Missing],
        }
    }

    /// It was used. If something failed, the store may not know.
    pub(super) fn touch(&mut self, now_us: u64, sure: bool) {
        let (first, last) = self.idle_end_us;
        self.idle_end_us = (
            if sure { now_us + micros(IDLE) } else { first },
            last.max(now_us + micros(IDLE + SLACK)),
        );
    }

    /// It was written.
    pub(super) fn write(&mut self, now_us: u64) {
        self.idle_end_us = (now_us + micros(IDLE), now_us + micros(IDLE + SLACK));
        self.version.1 = false;
    }
}
