//! Work on many files or cases at once.

use std::sync::Mutex;
use std::thread;

/// What becomes of each item, in their order, whichever thread was given it.
pub(super) fn each<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let queue = Mutex::new(items.iter().enumerate());
    let next = || queue.lock().map_or(None, |mut queue| queue.next());
    let worker = || {
        let mut done = Vec::new();
        while let Some((position, item)) = next() {
            done.push((position, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_order_and_none_is_lost() {
        let items: Vec<usize> = (0..1_000).collect();
        assert_eq!(
            super::each(&items, |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        assert!(super::each(&[0usize; 0], |item| *item).is_empty());
    }
}
