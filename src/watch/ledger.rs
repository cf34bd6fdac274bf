//! What was cut and may not be seen yet, because its file is not finished.
//!
//! Belongs here: the order in which held segments become visible, and how long one is waited for. Pure: `now` is an argument.
//! Does not: files (`writer`), noticing that one is finished (`watcher`).

use std::collections::VecDeque;

use crate::{
    origin::media::{Msn, Publication, RenditionId},
    time::{Nanos, UnixTime},
};

/// A file that was written and is not reported finished is taken for finished after this: the report was lost.
const REPORT_PATIENCE: Nanos = Nanos::from_seconds(1);

/// A segment whose file does not come is shown without it after this: the disk hangs.
const FILE_PATIENCE: Nanos = Nanos::from_seconds(3);

/// Everything held back, by rendition.
#[derive(Debug)]
pub(super) struct Ledger {
    queues: Vec<Queue>,
    /// The number of the first segment of the run: of what is held numbers count from 0.
    first: Msn,
    /// The end of all, held until everything before it is out.
    end: Option<Publication>,
}

#[derive(Debug)]
struct Queue {
    next: Msn,
    held: VecDeque<Held>,
}

/// A segment and what belongs before it.
#[derive(Debug)]
struct Held {
    msn: Msn,
    publications: Vec<Publication>,
    state: State,
    /// Its file could not be written; said while parts were still added.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Parts are still added.
    Open,
    /// Complete since; its file is being written.
    Complete(UnixTime),
    /// Its file was written; nobody has reported it.
    Written(UnixTime),
    /// Its file is finished.
    Finished(UnixTime),
    /// There is no file to wait for.
    WithoutFile,
}

impl Held {
    fn complete(&mut self, now: UnixTime) {
        let has_media = self
            .publications
            .iter()
            .any(|held| matches!(held, Publication::Part(..)));
        self.state = if has_media && !self.is_lost {
            State::Complete(now)
        } else {
            State::WithoutFile
        };
    }
}

impl Ledger {
    /// Nothing held; the first segment of each rendition is `first`.
    pub(super) fn new(renditions: usize, first: Msn) -> Self {
        let queue = || Queue {
            next: first,
            held: VecDeque::new(),
        };
        Self {
            queues: (0..renditions).map(|_| queue()).collect(),
            first,
            end: None,
        }
    }

    /// Takes in what was cut.
    pub(super) fn hold(&mut self, publication: Publication, now: UnixTime) {
        let id = match &publication {
            Publication::Start(id, _)
            | Publication::Description(id, _)
            | Publication::Init(id, _)
            | Publication::ComingInit(id)
            | Publication::Part(id, _)
            | Publication::Gap(id, _)
            | Publication::SegmentEnd(id, _)
            | Publication::Absent(id)
            | Publication::EndOfRendition(id) => *id,
            Publication::EndOfRun | Publication::EndOfStream => {
                self.complete_open(now);
                self.end = Some(publication);
                return;
            }
        };
        let Some(queue) = self.queues.get_mut(id.0) else {
            return;
        };
        if let Publication::Start(_, msn) = &publication {
            queue.next = Msn(self.first.0 + msn.0);
        }
        let stands_alone = matches!(
            publication,
            Publication::Absent(_) | Publication::EndOfRendition(_)
        );
        let is_end = matches!(publication, Publication::SegmentEnd(..));
        let is_open = queue
            .held
            .back()
            .is_some_and(|held| held.state == State::Open);
        if !is_open || stands_alone {
            queue.held.push_back(Held {
                msn: queue.next,
                publications: Vec::new(),
                state: State::Open,
                is_lost: false,
            });
        }
        let Some(held) = queue.held.back_mut() else {
            return;
        };
        held.publications.push(publication);
        held.msn = queue.next;
        if stands_alone {
            held.state = State::WithoutFile;
        } else if is_end {
            queue.next.0 += 1;
            held.complete(now);
        }
    }

    /// Nothing is added any more: what is open is all there will ever be of it, in its file and for players.
    pub(super) fn complete_open(&mut self, now: UnixTime) {
        for queue in &mut self.queues {
            if let Some(open) = queue
                .held
                .back_mut()
                .filter(|held| held.state == State::Open)
            {
                queue.next.0 += 1;
                open.complete(now);
            }
        }
    }

    /// The writer has closed the file of a segment.
    pub(super) fn written(&mut self, id: RenditionId, msn: Msn, now: UnixTime) {
        if let Some(held) = self.find(id, msn)
            && matches!(held.state, State::Complete(_))
        {
            held.state = State::Written(now);
        }
    }

    /// Whether a segment waits only for its file to be seen.
    pub(super) fn waits_for(&self, id: RenditionId, msn: Msn) -> bool {
        self.queues.get(id.0).is_some_and(|queue| {
            let is_it = |held: &&Held| held.msn == msn;
            let held = queue.held.iter().find(is_it);
            held.is_some_and(|held| matches!(held.state, State::Written(_)))
        })
    }

    /// The file of a segment was seen to be finished.
    pub(super) fn finished(&mut self, id: RenditionId, msn: Msn, at: UnixTime) {
        if let Some(held) = self.find(id, msn)
            && matches!(held.state, State::Complete(_) | State::Written(_))
        {
            held.state = State::Finished(at);
        }
    }

    /// A segment has no file, and gets none.
    pub(super) fn lost(&mut self, id: RenditionId, msn: Msn) {
        if let Some(held) = self.find(id, msn) {
            held.is_lost = true;
            if held.state != State::Open {
                held.state = State::WithoutFile;
            }
        }
    }

    fn find(&mut self, id: RenditionId, msn: Msn) -> Option<&mut Held> {
        let queue = self.queues.get_mut(id.0)?;
        queue.held.iter_mut().find(|held| held.msn == msn)
    }

    /// What may be seen now, each with its moment. The second answer counts the segments whose file was waited for in vain.
    pub(super) fn release(&mut self, now: UnixTime) -> (Vec<(Publication, UnixTime)>, usize) {
        let mut released = Vec::new();
        let mut overdue = 0;
        for queue in &mut self.queues {
            while let Some(front) = queue.held.front() {
                let at = match front.state {
                    State::Finished(at) => at,
                    State::WithoutFile => now,
                    State::Written(since) if now - since >= REPORT_PATIENCE => now,
                    State::Complete(since) if now - since >= FILE_PATIENCE => {
                        overdue += 1;
                        now
                    }
                    State::Open | State::Complete(_) | State::Written(_) => break,
                };
                if let Some(held) = queue.held.pop_front() {
                    let stamped = held.publications.into_iter().map(|held| (held, at));
                    released.extend(stamped);
                }
            }
        }
        if self.is_empty()
            && let Some(end) = self.end.take()
        {
            released.push((end, now));
        }
        (released, overdue)
    }

    /// Whether nothing complete is held.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| {
            let is_open = |held: &Held| held.state == State::Open;
            queue.held.iter().all(is_open)
        })
    }

    /// Everything that is complete, whatever became of its file: nothing will be reported any more.
    pub(super) fn release_all(&mut self, now: UnixTime) -> Vec<(Publication, UnixTime)> {
        for held in self.queues.iter_mut().flat_map(|queue| &mut queue.held) {
            if matches!(held.state, State::Complete(_) | State::Written(_)) {
                held.state = State::WithoutFile;
            }
        }
        self.release(now).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        origin::media::NewPart,
        time::{MediaTime, Timescale},
    };

    const ID: RenditionId = RenditionId::MAIN;

    fn second(second: i64) -> UnixTime {
        UnixTime(second * 1_000_000_000)
    }

    fn part() -> NewPart {
        NewPart {
            bytes: bytes::Bytes::from_static(b"part"),
            duration: MediaTime {
                ticks: 1,
                timescale: Timescale::new(1).unwrap(),
            },
            is_independent: true,
            captured: second(0),
            program_date_time: second(0),
            is_discontinuity: false,
        }
    }

    /// A segment of one part, complete at that second.
    fn hold_segment(ledger: &mut Ledger, at: i64) {
        ledger.hold(Publication::Part(ID, part()), second(at));
        ledger.hold(Publication::SegmentEnd(ID, None), second(at));
    }

    fn moments(ledger: &mut Ledger, now: i64) -> Vec<UnixTime> {
        let (released, _) = ledger.release(second(now));
        released.into_iter().map(|(_, at)| at).collect()
    }

    #[test]
    fn a_segment_is_seen_when_its_file_is_finished_and_in_order() {
        let mut ledger = Ledger::new(1, Msn(7));
        hold_segment(&mut ledger, 1);
        hold_segment(&mut ledger, 2);
        assert!(moments(&mut ledger, 2).is_empty());
        ledger.finished(ID, Msn(8), second(2));
        assert!(
            moments(&mut ledger, 2).is_empty(),
            "the one before it first"
        );
        ledger.finished(ID, Msn(7), second(1));
        assert_eq!(
            moments(&mut ledger, 2),
            [second(1), second(1), second(2), second(2)]
        );
    }

    #[test]
    fn nothing_is_waited_for_without_end() {
        let mut ledger = Ledger::new(1, Msn(0));
        hold_segment(&mut ledger, 1);
        ledger.written(ID, Msn(0), second(1));
        assert!(ledger.waits_for(ID, Msn(0)));
        assert_eq!(moments(&mut ledger, 2).len(), 2, "the report was lost");
        hold_segment(&mut ledger, 2);
        assert!(moments(&mut ledger, 4).is_empty());
        let (released, overdue) = ledger.release(second(5));
        assert_eq!((released.len(), overdue), (2, 1), "the disk hangs");
        hold_segment(&mut ledger, 5);
        ledger.lost(ID, Msn(2));
        assert_eq!(moments(&mut ledger, 5).len(), 2, "the disk is full");
        ledger.hold(Publication::Part(ID, part()), second(6));
        ledger.lost(ID, Msn(3));
        ledger.hold(Publication::SegmentEnd(ID, None), second(6));
        assert_eq!(moments(&mut ledger, 6).len(), 2, "and it was said early");
    }

    #[test]
    fn the_end_comes_last() {
        let mut ledger = Ledger::new(1, Msn(0));
        hold_segment(&mut ledger, 1);
        ledger.hold(Publication::EndOfStream, second(1));
        assert!(moments(&mut ledger, 1).is_empty());
        ledger.finished(ID, Msn(0), second(1));
        let (released, _) = ledger.release(second(1));
        assert!(matches!(
            released.last(),
            Some((Publication::EndOfStream, _))
        ));
    }

    #[test]
    fn at_the_stop_everything_is_seen() {
        let mut ledger = Ledger::new(1, Msn(0));
        hold_segment(&mut ledger, 1);
        ledger.hold(Publication::Part(ID, part()), second(1));
        assert_eq!(ledger.release_all(second(1)).len(), 2, "parts may come");
        ledger.complete_open(second(1));
        assert!(!ledger.is_empty());
        ledger.written(ID, Msn(1), second(1));
        assert!(ledger.waits_for(ID, Msn(1)), "and it has a file");
        ledger.hold(Publication::EndOfStream, second(1));
        assert_eq!(ledger.release_all(second(1)).len(), 2);
    }
}
