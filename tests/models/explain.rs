//! Whether some order of whole operations explains what their callers were told (Herlihy and
//! Wing's linearizability, with several states where it is not known what was done).

/// The states that are possible after all of `done`, in any order in which none comes before one
/// that had ended when it began. `apply` gives the states that an operation, as it ended, can
/// leave; none if it could not end so there.
pub(crate) fn explain<S: Clone + PartialEq, D>(
    states: Vec<S>,
    done: &[D],
    ended_before: impl Fn(&D, &D) -> bool,
    apply: impl Fn(&S, &D) -> Vec<S>,
) -> Vec<S> {
    let all = (1_usize << done.len()) - 1;
    let mut reached = vec![Vec::new(); all + 1];
    reached[0] = states;
    for taken in 0..all {
        for (at, next) in done.iter().enumerate().filter(|(at, _)| taken & (1 << at) == 0) {
            let waits = |(before, other): (usize, &D)| {
                taken & (1 << before) == 0 && before != at && ended_before(other, next)
            };
            if done.iter().enumerate().any(waits) {
                continue;
            }
            for state in std::mem::take(&mut reached[taken]) {
                for after in apply(&state, next) {
                    add(&mut reached[taken | (1 << at)], after);
                }
                add(&mut reached[taken], state);
            }
        }
    }
    reached.swap_remove(all)
}

/// Each state once.
pub(crate) fn add<S: PartialEq>(states: &mut Vec<S>, state: S) {
    if !states.contains(&state) {
        states.push(state);
    }
}
