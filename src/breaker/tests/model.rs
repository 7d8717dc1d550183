//! The breaker against a plain model of it: every call that it remembers, one by one.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::breaker::core::{Core, Grant, Report};
use crate::nanos::nanos;

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// One of those under way, and what became of it.
    Report(Index, Report),
    /// Milliseconds.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let report = prop_oneof![
        3 => Just(Report::Good),
        4 => Just(Report::Failed),
        2 => Just(Report::Slow),
        1 => Just(Report::Neutral),
    ];
    let step = prop_oneof![
        6 => Just(Step::Admit),
        6 => (any::<Index>(), report).prop_map(|(at, report)| Step::Report(at, report)),
        1 => (0_u64..3_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..400)
}

const CALLS_MIN: usize = 4;
const PROBES: [usize; 3] = [1, 2, 4];

/// Times in milliseconds.
#[derive(Debug, Default)]
struct Model {
    generation: u64,
    state: ModelState,
    calls: Vec<(u64, Report)>,
    open_for: u64,
    closed_since: u64,
}

#[derive(Debug, Default, PartialEq)]
enum ModelState {
    #[default]
    Closed,
    Open(u64),
    /// The stage, how many succeeded in it, and the probes under way, with their beginnings.
    HalfOpen(usize, usize, Vec<(usize, u64)>),
}

impl Model {
    fn open(&mut self, now: u64) {
        let calm = self.state == ModelState::Closed && now - self.closed_since >= self.open_for;
        self.open_for = if calm || self.open_for == 0 { 1_000 } else { self.open_for * 2 };
        self.open_for = self.open_for.min(30_000);
        self.turn(ModelState::Open(now + self.open_for));
    }

    fn turn(&mut self, state: ModelState) {
        self.generation += 1;
        self.state = state;
    }

    fn admits(&mut self, number: usize, now: u64) -> bool {
        if let ModelState::Open(until) = self.state {
            if now < until {
                return false;
            }
            self.turn(ModelState::HalfOpen(0, 0, Vec::new()));
        }
        let ModelState::HalfOpen(stage, succeeded, probes) = &mut self.state else { return true };
        let silent = u64::try_from((TIMEOUT * 2).as_millis()).unwrap();
        if probes.iter().any(|(_, since)| now - since >= silent) {
            self.open(now);
            return false;
        }
        let free = *succeeded + probes.len() < PROBES[*stage];
        if free {
            probes.push((number, now));
        }
        free
    }

    fn report(&mut self, number: usize, generation: u64, report: Report, now: u64) {
        if generation != self.generation
            || report == Report::Neutral && self.state == ModelState::Closed
        {
            return;
        }
        match &mut self.state {
            ModelState::Open(_) => {}
            ModelState::Closed => {
                self.calls.push((now, report));
                // By whole seconds, of which the present one is the tenth.
                self.calls.retain(|(at, _)| at / 1_000 + 10 > now / 1_000);
                let count = |wanted| self.calls.iter().filter(|(_, it)| *it == wanted).count();
                let bad = count(Report::Failed) * 2 >= self.calls.len()
                    || count(Report::Slow) * 5 >= self.calls.len() * 4;
                if report != Report::Good && self.calls.len() >= CALLS_MIN && bad {
                    self.open(now);
                }
            }
            ModelState::HalfOpen(stage, succeeded, probes) => {
                probes.retain(|(probe, _)| *probe != number);
                match report {
                    Report::Neutral => {}
                    Report::Failed | Report::Slow => self.open(now),
                    Report::Good => {
                        *succeeded += 1;
                        if *succeeded == PROBES[*stage] {
                            (*stage, *succeeded) = (*stage + 1, 0);
                        }
                        if *stage == PROBES.len() {
                            self.calls.clear();
                            self.closed_since = now;
                            self.turn(ModelState::Closed);
                        }
                    }
                }
            }
        }
    }

    fn state(&self) -> BreakerState {
        match self.state {
            ModelState::Closed => BreakerState::Closed,
            ModelState::Open(_) => BreakerState::Open,
            ModelState::HalfOpen(..) => BreakerState::HalfOpen,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(steps in steps()) {
        let config = config().calls_min(u32::try_from(CALLS_MIN).unwrap());
        let core = Core::new(config.rules().unwrap());
        let (mut model, mut now, mut number) = (Model::default(), 0, 0);
        let mut under_way: Vec<(usize, Grant)> = Vec::new();
        for step in steps {
            let ns = nanos(Duration::from_millis(now));
            match step {
                Step::Wait(ms) => now += ms,
                Step::Admit => {
                    number += 1;
                    let admitted = core.admit(ns, &mut None);
                    prop_assert_eq!(admitted.is_ok(), model.admits(number, now));
                    under_way.extend(admitted.ok().map(|grant| (number, grant)));
                }
                Step::Report(_, _) if under_way.is_empty() => {}
                Step::Report(at, report) => {
                    let (number, grant) = under_way.swap_remove(at.index(under_way.len()));
                    core.report(grant, report, ns);
                    model.report(number, grant.generation, report, now);
                }
            }
            prop_assert_eq!(core.state(), (model.generation, model.state()));
        }
    }
}
