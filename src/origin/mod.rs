//! Step 3 of a frame's road: the live edge.
//!
//! Belongs here: what has been published and what of it a playlist may still name. Pure: no clock, no IO, no locks.
//! Does not: how a request is answered (`delivery/`), how bytes travel (`http/`).

pub mod bandwidth;
pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod media;
pub mod name;
pub mod rendition;
#[cfg(test)]
mod tests;
pub mod window;

mod continuation;

use std::collections::HashSet;

use crate::time::{MediaTime, UnixTime};
use event::{Event, Violation};
use media::{Description, Msn, Publication, RenditionId, RunId};
use rendition::{Rendition, Renditions};
use window::WindowSettings;

/// Counts everything that may show in any playlist of a presentation: a rendition's own playlist reports on all others,
/// so its text is new with each of their parts as well (rule PL-30).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// The state requests are answered from: one run of one presentation, and its renditions.
///
/// The presentation goes live as a whole, when each rendition has its first complete segment, except those that are
/// known not to come in time ([`Publication::Absent`]) or are over already. One that is late joins with its first
/// segment.
#[derive(Clone, Debug)]
pub struct Origin {
    run: RunId,
    /// Never empty; the main one first.
    renditions: Vec<Rendition>,
    /// `None` until the presentation is live.
    common: Option<Common>,
    is_ended: bool,
    revision: Revision,
}

/// What all playlists of a presentation say alike, from the moment it goes live (rules MV-09, MV-10, PL-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Common {
    /// EXT-X-TARGETDURATION of every rendition: the main one's.
    pub target_duration: u32,
    /// The longest PART-TARGET of all, which PART-HOLD-BACK is a multiple of (rule PL-25).
    pub longest_part_target: MediaTime,
}

impl Origin {
    /// An origin nothing has been published to.
    pub fn new(run: RunId, renditions: &Renditions, settings: WindowSettings) -> Self {
        Self {
            run,
            renditions: renditions
                .iter()
                .map(|(id, rendition)| Rendition::new(id, rendition, settings))
                .collect(),
            common: None,
            is_ended: false,
            revision: Revision::default(),
        }
    }

    /// Applies what the sink published; `now` is when, and becomes the `published` time of what it completes.
    ///
    /// Publications of a rendition must come in the order the sink made them. One that breaks the protocol changes
    /// nothing (or only what is said at the [`Violation`]) and comes back as [`Event::Violation`].
    pub fn publish(&mut self, publication: Publication, now: UnixTime) -> Vec<Event> {
        let mut events = Vec::new();
        self.revision.0 += 1;
        match publication {
            Publication::EndOfStream => self.end(now, &mut events),
            Publication::EndOfRun => self.end_run(now, &mut events),
            Publication::Start(id, msn) => self.start(id, msn, now, &mut events),
            Publication::Description(id, description) => {
                self.describe(id, description, &mut events);
            }
            Publication::Init(id, init) => self.apply(id, &mut events, |rendition, events| {
                rendition.window.publish_init(init, events)
            }),
            Publication::ComingInit(id) => self.apply(id, &mut events, |rendition, _| {
                rendition.window.announce_init()
            }),
            Publication::Gap(id, gap) => self.apply(id, &mut events, |rendition, events| {
                rendition.window.publish_gap(gap, now, events)
            }),
            Publication::Part(id, part) => {
                self.align(id);
                self.apply(id, &mut events, |rendition, events| {
                    rendition.window.publish_part(part, now, events)
                });
            }
            Publication::SegmentEnd(id, constants) => {
                self.apply(id, &mut events, |rendition, events| {
                    rendition.window.end_segment(constants, now, events)
                });
            }
            Publication::Absent(id) => self.apply(id, &mut events, |rendition, _| {
                rendition.is_absent = true;
                Ok(())
            }),
            // Tracks end on threads of their own: the last one's word for all may come before another's for itself.
            Publication::EndOfRendition(_) if self.is_ended => {}
            Publication::EndOfRendition(id) => self.apply(id, &mut events, |rendition, events| {
                rendition.window.end(now, events)
            }),
        }
        self.go_live(&mut events);
        events
    }

    /// Lets a publication change its rendition, unless there is no such thing or all is over.
    fn apply(
        &mut self,
        id: RenditionId,
        events: &mut Vec<Event>,
        change: impl FnOnce(&mut Rendition, &mut Vec<Event>) -> Result<(), Violation>,
    ) {
        let Some(rendition) = self.renditions.get_mut(id.0) else {
            return self.tell(RenditionId::MAIN, Violation::UnknownRendition(id), events);
        };
        let applied = if self.is_ended {
            Err(Violation::AfterEnd)
        } else {
            change(rendition, events)
        };
        if let Err(violation) = applied {
            self.tell(id, violation, events);
        }
    }

    fn describe(&mut self, id: RenditionId, description: Description, events: &mut Vec<Event>) {
        self.apply(id, events, |rendition, _| {
            rendition.describe(description);
            Ok(())
        });
        // Rule MV-08. In their order, whichever said its name first; what people see already stays.
        let (seen, unseen): (Vec<_>, Vec<_>) = self
            .renditions
            .iter_mut()
            .partition(|rendition| rendition.window.is_live());
        let mut labels: HashSet<_> = seen.iter().map(|rendition| rendition.label()).collect();
        for rendition in unseen {
            rendition.set_label(&mut labels);
        }
    }

    fn tell(&self, id: RenditionId, violation: Violation, events: &mut Vec<Event>) {
        let rendition = self
            .rendition(id)
            .map_or_else(String::new, |rendition| rendition.settings().name.clone());
        events.push(Event::Violation {
            rendition,
            violation,
        });
    }

    /// Before its first part: a rendition that begins in the middle counts discontinuities like the others.
    fn align(&mut self, id: RenditionId) {
        let Some(late) = self
            .rendition(id)
            .map(Rendition::window)
            .filter(|window| !window.has_begun() && window.next_msn() != Msn::FIRST)
        else {
            return;
        };
        let msn = late.next_msn();
        let joint = self
            .renditions
            .iter()
            .find(|rendition| rendition.window.has_begun())
            .map(|rendition| rendition.window.joint(msn));
        if let (Some(joint), Some(rendition)) = (joint, self.renditions.get_mut(id.0)) {
            rendition.window.align(joint);
        }
    }

    /// Shows the playlists of those that have a segment, once nobody is waited for.
    fn go_live(&mut self, events: &mut Vec<Event>) {
        if self.common.is_none() {
            if self.renditions.iter().any(Rendition::is_awaited) {
                return;
            }
            self.common = self.agree();
        }
        let Some(common) = self.common else {
            return;
        };
        for place in 0..self.renditions.len() {
            let window = &mut self.renditions[place].window;
            let Some(fixed) = window.fixed_constants().filter(|_| !window.is_live()) else {
                continue;
            };
            let is_late = fixed.part_target.nanos() > common.longest_part_target.nanos();
            window.go_live(common.target_duration, events);
            if is_late {
                self.tell(RenditionId(place), Violation::LatePartTarget, events);
            }
        }
    }

    /// What those that have a segment will all say. `None` when none has.
    fn agree(&self) -> Option<Common> {
        let mut all = self
            .renditions
            .iter()
            .filter_map(|rendition| rendition.window.fixed_constants());
        let first = all.next()?;
        let longest_part_target =
            all.map(|constants| constants.part_target)
                .fold(first.part_target, |longest, other| {
                    if other.nanos() > longest.nanos() {
                        other
                    } else {
                        longest
                    }
                });
        Some(Common {
            target_duration: first.target_duration,
            longest_part_target,
        })
    }

    fn end(&mut self, now: UnixTime, events: &mut Vec<Event>) {
        if self.is_ended {
            return self.tell(RenditionId::MAIN, Violation::AfterEnd, events);
        }
        self.is_ended = true;
        for rendition in &mut self.renditions {
            // One that ended by itself has said so.
            let _ = rendition.window.end(now, events);
        }
        events.push(Event::Ended);
    }

    /// The folder all media of this run is under.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// All renditions in their fixed order, the main one first.
    pub fn renditions(&self) -> impl ExactSizeIterator<Item = (RenditionId, &Rendition)> {
        self.renditions
            .iter()
            .enumerate()
            .map(|(place, rendition)| (RenditionId(place), rendition))
    }

    /// A rendition of this presentation.
    pub fn rendition(&self, id: RenditionId) -> Option<&Rendition> {
        self.renditions.get(id.0)
    }

    /// The main rendition.
    pub fn main(&self) -> &Rendition {
        // `Renditions` holds one at least, and none is ever taken out.
        &self.renditions[RenditionId::MAIN.0]
    }

    /// What all playlists say alike; `None` until the presentation is live.
    pub fn common(&self) -> Option<&Common> {
        self.common.as_ref()
    }

    /// Whether the presentation is over: the stream, or every rendition by itself.
    pub fn is_ended(&self) -> bool {
        self.is_ended
            || self
                .renditions
                .iter()
                .all(|rendition| rendition.window.is_ended())
    }

    /// Counts what may show in any playlist.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}
