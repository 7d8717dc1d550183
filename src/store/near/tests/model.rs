//! Every order in which questions, answers, news, writes and evictions may meet, against the whole
//! history of a key.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::backend::{Entry, Version};
use crate::store::near::own::OwnWrite;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody else writes.
    Foreign,
    /// The next news arrive.
    News,
    /// The link is lost, and with it the news on their way.
    Disconnect,
    /// The store is asked whether all has been told.
    Heartbeat,
    /// A question is put; its token is taken.
    Ask,
    /// The store answers one of those.
    Answer(Index),
    /// An answer arrives.
    Arrive(Index),
    /// The store answers a question that was put past the cache.
    Past,
    /// Such an answer arrives.
    Saw(Index),
    /// A write of this process begins: a delete, or not.
    Begin(bool),
    /// One reaches the store.
    Make(Index),
    /// One ends, and is known to have been made if it was; or nobody knows.
    End(Index, bool),
    Evict,
    Wait(u64),
    Look,
    LookWhileOut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<Index>;
    let step = prop_oneof![
        3 => Just(Step::Foreign),
        4 => Just(Step::News),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Heartbeat),
        5 => Just(Step::Ask),
        5 => at().prop_map(Step::Answer),
        5 => at().prop_map(Step::Arrive),
        4 => Just(Step::Past),
        4 => at().prop_map(Step::Saw),
        4 => prop::bool::weighted(0.3).prop_map(Step::Begin),
        4 => at().prop_map(Step::Make),
        4 => (at(), prop::bool::weighted(0.7)).prop_map(|(at, known)| Step::End(at, known)),
        1 => Just(Step::Evict),
        2 => (0_u64..1_500).prop_map(Step::Wait),
        8 => Just(Step::Look),
        4 => Just(Step::LookWhileOut),
    ];
    prop::collection::vec(step, 1..120)
}

enum News {
    Changed,
    /// All before this has been told.
    Proof(Instant),
}

/// A write of this process that is under way.
struct Own<'a> {
    guard: OwnWrite<'a>,
    write: Write,
    /// Its version, once it was made.
    made: Option<u64>,
}

struct Model<'a> {
    near: &'a Arc<Near>,
    feed: Arc<dyn Watcher>,
    key: Key,
    /// When each version came to be; the first is 1.
    history: Vec<Instant>,
    news: VecDeque<News>,
    /// With the steps they were put at.
    questions: Vec<(Token, Instant, usize)>,
    answers: Vec<Arc<Unit>>,
    /// Past the cache.
    past: Vec<Entry>,
    own: Vec<Own<'a>>,
    /// This process has been given it, or told that it was made: nothing older may follow.
    seen: u64,
    /// Counts the steps.
    step: usize,
    /// This process wanted the key to be gone: no answer to a question from before may follow.
    revoked: usize,
}

const BOUND: Duration = Duration::from_secs(1);
const STALE: Duration = Duration::from_secs(10);
/// How many writes of this process may be under way.
const OWN_MAX: usize = 3;

impl<'a> Model<'a> {
    fn new(near: &'a Arc<Near>) -> Self {
        Self {
            near,
            feed: feed::Feed::of(near),
            key: key("g", "k"),
            history: vec![Instant::now()],
            news: VecDeque::new(),
            questions: Vec::new(),
            answers: Vec::new(),
            past: Vec::new(),
            own: Vec::new(),
            seen: 0,
            step: 0,
            revoked: 0,
        }
    }

    fn latest(&self) -> u64 {
        self.history.len() as u64
    }

    fn change(&mut self) -> u64 {
        self.history.push(Instant::now());
        self.news.push_back(News::Changed);
        self.latest()
    }

    async fn take(&mut self, step: Step) {
        self.step += 1;
        match step {
            Step::Foreign => drop(self.change()),
            Step::News => match self.news.pop_front() {
                Some(News::Changed) => self.feed.changed(&self.key),
                Some(News::Proof(until)) => self.feed.told_until(until.into_std()),
                None => {}
            },
            Step::Disconnect => {
                self.news.clear();
                self.feed.everything();
            }
            Step::Heartbeat => self.news.push_back(News::Proof(Instant::now())),
            Step::Ask => {
                let token = self.near.capture(&self.key);
                self.questions.push((token, Instant::now(), self.step));
            }
            Step::Answer(at) if !self.questions.is_empty() => {
                let at = at.index(self.questions.len());
                let (token, asked, step) = self.questions.swap_remove(at);
                self.answers.push(Arc::new(self.unit(token, asked, step)));
            }
            Step::Arrive(at) if !self.answers.is_empty() => {
                let unit = self.answers.swap_remove(at.index(self.answers.len()));
                self.near.keep(&unit);
                self.seen = self.seen.max(version(&unit));
            }
            Step::Past => self.past.push(self.entry()),
            Step::Saw(at) if !self.past.is_empty() => {
                let entry = self.past.swap_remove(at.index(self.past.len()));
                self.seen = self.seen.max(entry.version.get());
                self.near.saw(std::slice::from_ref(&self.key), &[Some(entry)]);
            }
            Step::Begin(delete) if self.own.len() < OWN_MAX => self.begin(delete),
            Step::Make(at) if !self.own.is_empty() => self.make(at.index(self.own.len())),
            Step::End(at, known) if !self.own.is_empty() => {
                self.end(at.index(self.own.len()), known);
            }
            Step::Evict => self.near.units.invalidate(&self.key),
            Step::Wait(ms) => advance(Duration::from_millis(ms)).await,
            Step::Look => self.look(),
            Step::LookWhileOut => self.look_while_out(),
            Step::Answer(_)
            | Step::Arrive(_)
            | Step::Saw(_)
            | Step::Begin(_)
            | Step::Make(_)
            | Step::End(..) => {}
        }
    }

    fn unit(&self, token: Token, asked: Instant, step: usize) -> Unit {
        let entry = Entry { value: step.to_string().into(), ..self.entry() };
        Unit::new([self.key.clone()].into(), vec![Some(entry)], token, asked)
    }

    /// As the store has it. Its value is the step of the question.
    fn entry(&self) -> Entry {
        Entry {
            value: self.step.to_string().into(),
            version: Version::new(self.latest()).unwrap(),
            written_us: self.latest(),
            age: Duration::ZERO,
            left: None,
        }
    }

    fn begin(&mut self, delete: bool) {
        let write = if delete {
            // Whatever becomes of it.
            self.revoked = self.step;
            Write::delete(self.key.clone())
        } else {
            Write::put(self.key.clone(), self.step.to_string())
        };
        let guard = self.near.writing(std::slice::from_ref(&write));
        self.own.push(Own { guard, write, made: None });
    }

    fn make(&mut self, at: usize) {
        if self.own[at].made.is_none() {
            self.own[at].made = Some(self.change());
        }
    }

    fn end(&mut self, at: usize, known: bool) {
        let Own { guard, write, made } = self.own.swap_remove(at);
        let is_delete = matches!(write, Write::Delete { .. });
        match made {
            Some(version) if known => {
                let left = if is_delete { None } else { Version::new(version) };
                self.near.wrote(guard, &[write], &[left], |_key| true);
                self.seen = self.seen.max(version);
            }
            _ => drop(guard),
        }
        if is_delete {
            self.revoked = self.step;
        }
    }

    fn look(&mut self) {
        let keys = std::slice::from_ref(&self.key);
        let Some(hit) = self.near.peek(keys, Demand::Within(BOUND)) else { return };
        let (given, age) = (version(&hit.unit), hit.freshness.age());
        assert!(age <= BOUND);
        let since = Instant::now().checked_sub(age).unwrap();
        let had = self.history.iter().take_while(|born| **born < since).count() as u64;
        assert!(given >= had, "{given} was over for more than {age:?}: it was {had} then");
        assert!(given >= self.seen, "{given} after {}", self.seen);
        self.assert_not_revoked(&hit.unit);
        self.seen = given;
    }

    fn assert_not_revoked(&self, unit: &Unit) {
        let entry = unit.entry(0, Instant::now()).unwrap();
        let asked: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
        assert!(asked >= self.revoked, "asked at {asked}, revoked at {}", self.revoked);
    }

    fn look_while_out(&mut self) {
        let error = Error::new(ErrorKind::Unavailable, "");
        let keys = [self.key.clone()];
        let hit = self.near.stale(&keys, Some(STALE), Instant::now(), &error);
        let Some(hit) = hit else { return };
        let given = version(&hit.unit);
        assert!(hit.freshness.age() <= STALE && hit.freshness.is_stale());
        assert!(given >= self.seen, "{given} after {}", self.seen);
        self.assert_not_revoked(&hit.unit);
        self.seen = given;
    }
}

fn version(unit: &Unit) -> u64 {
    unit.entry(0, Instant::now()).unwrap().version.get()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_that_is_too_old_or_was_overtaken_is_served(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(NearConfig::default());
            advance(Duration::from_secs(100)).await;
            // What is asked in the background has no answer: the store is in the model.
            world.store.out(true);
            let mut model = Model::new(&world.near);
            world.near.learn(&[Some(model.entry())]);
            for step in steps {
                model.take(step).await;
            }
        });
    }
}
