//! The search for an order (Lowe, *Testing for linearizability*, 2017: just in time): a step is
//! put in its place only when it ends, or when one that ends needs it before. Looks are placed at
//! once where they fit, for they change nothing.

use std::collections::HashSet;

use steadfast_backend::{Condition, Version};

use super::Flaw;
use super::steps::{Effect, Sight, Spare, Step, Steps};
use crate::history::operation::Value;

/// More states than this at one step are not looked through. Real histories have less than ten.
const STATES_MAX: usize = 5_000;

/// What the key may have come to, by one order of the steps so far.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct State {
    slot: Slot,
    /// The last version that the key had.
    last: Option<Version>,
    /// The steps under way that have happened, in order.
    done: Vec<usize>,
    /// How many spare writes of each class have been made.
    spent: [u32; CLASSES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Slot {
    #[default]
    Absent,
    /// Holds this value under the last version.
    Holds(Value),
    /// Holds the value of a spare put, under the last version.
    HoldsSomething,
    /// Holds the value of a spare put, under a version that nobody saw.
    HoldsUnseen,
}

const DELETE: usize = 0;
const PUT_ALWAYS: usize = 1;
const PUT_IF_ABSENT: usize = 2;
const PUT_IF_PRESENT: usize = 3;
const CLASSES: usize = 4;

impl State {
    fn version(&self) -> Option<Version> {
        match self.slot {
            Slot::Absent | Slot::HoldsUnseen => None,
            Slot::Holds(_) | Slot::HoldsSomething => self.last,
        }
    }

    fn admits(&self, only_if: Condition) -> bool {
        match only_if {
            Condition::Always => true,
            Condition::Absent => self.slot == Slot::Absent,
            Condition::Present => self.slot != Slot::Absent,
            Condition::VersionIs(version) => self.version() == Some(version),
        }
    }

    fn shows(&self, sight: Sight) -> bool {
        match sight {
            Sight::Absent => self.slot == Slot::Absent,
            Sight::Version(version) => self.version() == Some(version),
            Sight::Entry(seen) => {
                self.slot == Slot::Holds(seen.value) && self.last == Some(seen.version)
            }
        }
    }

    /// True if whatever can follow the other can follow this one.
    fn covers(&self, other: &Self) -> bool {
        self.slot == other.slot
            && self.last == other.last
            && self.done == other.done
            && self.spent.iter().zip(other.spent).all(|(mine, others)| *mine <= others)
    }

    fn did(&self, step: usize) -> bool {
        self.done.binary_search(&step).is_ok()
    }

    fn mark(&mut self, step: usize) {
        if let Err(place) = self.done.binary_search(&step) {
            self.done.insert(place, step);
        }
    }

    fn unmark(mut self, step: usize) -> Self {
        self.done.retain(|done| *done != step);
        self
    }

    fn puts(&self, step: usize, slot: Slot, version: Version) -> Self {
        let mut next = self.clone();
        (next.slot, next.last) = (slot, Some(version));
        next.mark(step);
        next
    }

    fn spends(&self, class: usize, slot: Slot) -> Self {
        let mut next = self.clone();
        next.slot = slot;
        next.spent[class] += 1;
        next
    }

    fn describe(&self) -> String {
        let version = self.last.map_or(0, Version::get);
        match self.slot {
            Slot::Absent => format!("absent (its last version was {version})"),
            Slot::Holds(value) => format!("{value:x} (version {version})"),
            Slot::HoldsSomething => format!("a value nobody saw (version {version})"),
            Slot::HoldsUnseen => "a value nobody saw, of a write without an answer".to_owned(),
        }
    }
}

/// Adds a state unless one that is there covers it; true if it was added.
fn add(states: &mut Vec<State>, state: State) -> bool {
    if states.iter().any(|other| other.covers(&state)) {
        return false;
    }
    states.retain(|other| !state.covers(other));
    states.push(state);
    true
}

#[derive(Clone, Copy)]
enum Event {
    Spare(Spare),
    Begins(usize),
    Ends(usize),
}

pub(super) fn search(steps: &Steps) -> Result<(), Flaw> {
    // At the same moment, what begins comes first: then the two overlap.
    let mut events = Vec::with_capacity(2 * steps.steps.len() + steps.spares.len());
    events.extend(steps.spares.iter().map(|(from, spare)| (*from, 0, Event::Spare(*spare))));
    for (at, step) in steps.steps.iter().enumerate() {
        events.push((step.span.from, 0, Event::Begins(at)));
        events.push((step.span.to, 1, Event::Ends(at)));
    }
    events.sort_by_key(|(time, order, _)| (*time, *order));
    let mut search = Search::new(&steps.steps);
    for (_, _, event) in events {
        match event {
            Event::Spare(spare) => search.offer(spare),
            Event::Begins(step) => search.begin(step),
            Event::Ends(step) => search.end(step)?,
        }
    }
    Ok(())
}

struct Search<'a> {
    steps: &'a [Step],
    /// The versions may start again somewhere.
    loses: bool,
    under_way: Vec<usize>,
    offered: [u32; CLASSES],
    deletes_of: HashSet<Version>,
    puts_over: HashSet<Version>,
    states: Vec<State>,
}

impl<'a> Search<'a> {
    fn new(steps: &'a [Step]) -> Self {
        Self {
            steps,
            loses: steps.iter().any(|step| matches!(step.effect, Effect::Loses)),
            under_way: Vec::new(),
            offered: [0; CLASSES],
            deletes_of: HashSet::new(),
            puts_over: HashSet::new(),
            states: vec![State::default()],
        }
    }

    fn offer(&mut self, spare: Spare) {
        match spare {
            Spare::Delete => self.offered[DELETE] += 1,
            Spare::PutAlways => self.offered[PUT_ALWAYS] += 1,
            Spare::PutIfAbsent => self.offered[PUT_IF_ABSENT] += 1,
            Spare::PutIfPresent => self.offered[PUT_IF_PRESENT] += 1,
            Spare::DeleteOf(version) => {
                self.deletes_of.insert(version);
            }
            Spare::PutOver(version) => {
                self.puts_over.insert(version);
            }
        }
    }

    fn begin(&mut self, step: usize) {
        self.under_way.push(step);
        if let Effect::Sees(sight) = self.steps[step].effect {
            for state in self.states.iter_mut().filter(|state| state.shows(sight)) {
                state.mark(step);
            }
        }
    }

    /// Keeps the states that the step can have led to, at the latest now.
    fn end(&mut self, step: usize) -> Result<(), Flaw> {
        let Step { effect, operation, .. } = self.steps[step];
        let flaw = |reason: String| Flaw { operation, reason };
        let before = std::mem::take(&mut self.states);
        let mut open = before.clone();
        let (mut visited, mut kept) = (Vec::new(), Vec::new());
        while let Some(state) = open.pop() {
            if state.did(step) {
                add(&mut kept, state.unmark(step));
                continue;
            }
            for next in self.moves(&state) {
                if add(&mut visited, next.clone()) {
                    open.push(next);
                }
            }
            if visited.len() > STATES_MAX {
                let reason = format!("undecided: more than {STATES_MAX} states to look through");
                return Err(flaw(reason));
            }
        }
        self.under_way.retain(|other| *other != step);
        if matches!(effect, Effect::Loses) {
            // It need not have taken this key.
            for state in before {
                add(&mut kept, state.unmark(step));
            }
        } else if kept.is_empty() {
            let states: Vec<_> = before.iter().map(State::describe).collect();
            let states = states.join(", or ");
            let reason = format!("no order explains it. Without it the key may hold: {states}");
            return Err(flaw(reason));
        }
        self.states = kept;
        Ok(())
    }

    /// What may happen next.
    fn moves(&self, state: &State) -> Vec<State> {
        let mut moves = Vec::new();
        for step in self.under_way.iter().copied().filter(|step| !state.did(*step)) {
            match self.steps[step].effect {
                Effect::Sees(_) => {}
                Effect::Puts { value, version, only_if } => {
                    if self.is_next(version, state) && state.admits(only_if) {
                        moves.push(state.puts(step, Slot::Holds(value), version));
                    }
                }
                Effect::PutsSomething { version } => {
                    if self.is_next(version, state) {
                        let made = state.puts(step, Slot::HoldsSomething, version);
                        self.spend_a_put(state, &made, &mut moves);
                    }
                }
                Effect::Deletes { only_if } => {
                    if state.admits(only_if) {
                        let mut next = State { slot: Slot::Absent, ..state.clone() };
                        next.mark(step);
                        moves.push(next);
                    }
                }
                Effect::Loses => {
                    let mut next = State { slot: Slot::Absent, last: None, ..state.clone() };
                    next.mark(step);
                    moves.push(next);
                }
            }
        }
        self.spare_moves(state, &mut moves);
        for state in &mut moves {
            self.look(state);
        }
        moves
    }

    /// What writes without an answer may do. One that nobody saw matters only where it changes
    /// whether the key is there.
    fn spare_moves(&self, state: &State, moves: &mut Vec<State>) {
        if state.slot == Slot::Absent {
            for class in [PUT_ALWAYS, PUT_IF_ABSENT] {
                if self.has(class, state) {
                    moves.push(state.spends(class, Slot::HoldsUnseen));
                }
            }
        } else if state.version().is_some_and(|version| self.deletes_of.contains(&version)) {
            moves.push(State { slot: Slot::Absent, ..state.clone() });
        } else if self.has(DELETE, state) {
            moves.push(state.spends(DELETE, Slot::Absent));
        }
    }

    /// The ways to `made`, which is the state after a spare put that somebody saw.
    fn spend_a_put(&self, state: &State, made: &State, moves: &mut Vec<State>) {
        if state.version().is_some_and(|version| self.puts_over.contains(&version)) {
            moves.push(made.clone());
            return;
        }
        let fitting = if state.slot == Slot::Absent { PUT_IF_ABSENT } else { PUT_IF_PRESENT };
        for class in [PUT_ALWAYS, fitting] {
            if self.has(class, state) {
                moves.push(made.spends(class, made.slot));
            }
        }
    }

    fn has(&self, class: usize, state: &State) -> bool {
        state.spent[class] < self.offered[class]
    }

    /// True if a put of this version can follow: versions increase, so a lower one that is under
    /// way must come before it, unless they start again in between.
    fn is_next(&self, version: Version, state: &State) -> bool {
        let after = |version: Version| Some(version) > state.last;
        let earlier = |step: &usize| match self.steps[*step].effect {
            Effect::Puts { version: other, .. } | Effect::PutsSomething { version: other } => {
                other < version && after(other) && !state.did(*step)
            }
            Effect::Sees(_) | Effect::Deletes { .. } | Effect::Loses => false,
        };
        after(version) && (self.loses || !self.under_way.iter().any(earlier))
    }

    /// Lets every look under way see the state that fits.
    fn look(&self, state: &mut State) {
        for step in &self.under_way {
            if let Effect::Sees(sight) = self.steps[*step].effect
                && state.shows(sight)
            {
                state.mark(*step);
            }
        }
    }
}
