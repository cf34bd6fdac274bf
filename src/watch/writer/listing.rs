//! The playlist of one rendition beside its files.
//!
//! Belongs here: which lines come next, what of them is not on the disk yet. Does not: segments and init sections (`disk`),
//! how a line reads (`delivery/archive`).

use std::{collections::VecDeque, io};

use super::{Keep, Outline};
use crate::{
    delivery::archive::{self, ArchiveKind, ArchivedSegment},
    origin::media::Msn,
    origin::name::{InitNumber, MediaName, MediaNames},
    watch::folder::Folder,
};

/// Bytes of a playlist that wait for a disk that takes none. What comes after more is behind a discontinuity, as if it were
/// another recording.
const MOST_UNWRITTEN: usize = 1 << 20;

/// A media playlist that is being written.
pub(super) struct Listing {
    /// File name.
    file: String,
    names: MediaNames,
    target_duration: Option<u32>,
    /// The init section the last line is under.
    init: Option<InitNumber>,
    /// What comes next does not follow from what an earlier run left.
    resumes: bool,
    /// A discontinuity stands before a gap, and nothing but gaps since: the next segment needs no other one.
    has_broken: bool,
    form: Form,
}

enum Form {
    /// A recording, appended to.
    Recording {
        is_begun: bool,
        /// Lines that are not on the disk yet.
        unwritten: String,
        /// The number of the first segment among them.
        unwritten_from: Option<Msn>,
    },
    /// So many segments, written anew each time.
    Live {
        most: usize,
        /// Oldest first, each with the init section it needs.
        listed: VecDeque<(Msn, ArchivedSegment, InitNumber)>,
        discontinuity_sequence: u64,
    },
}

impl Listing {
    /// Nothing listed yet. `resumes`: an earlier run left something in the folder.
    pub(super) fn new(file: String, names: MediaNames, keep: Keep, resumes: bool) -> Self {
        Self {
            file,
            names,
            target_duration: None,
            init: None,
            resumes,
            has_broken: false,
            form: match keep {
                Keep::All => Form::Recording {
                    is_begun: false,
                    unwritten: String::new(),
                    unwritten_from: None,
                },
                Keep::Newest(most) => Form::Live {
                    most,
                    listed: VecDeque::new(),
                    discontinuity_sequence: 0,
                },
            },
        }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn set_target_duration(&mut self, seconds: u32) {
        self.target_duration = Some(seconds);
    }

    /// The oldest init section a listed segment needs.
    pub(super) fn oldest_init(&self) -> Option<InitNumber> {
        match &self.form {
            Form::Recording { .. } => None,
            Form::Live { listed, .. } => listed.front().map(|(.., init)| *init),
        }
    }

    /// Names a segment that is in the folder. When that fails it is named with the next one.
    pub(super) fn add(
        &mut self,
        folder: &Folder,
        outline: Outline,
        init: InitNumber,
    ) -> io::Result<()> {
        let before = self.init.replace(init);
        let is_other_init = before != Some(init);
        let is_new_format = is_other_init && before.is_some();
        let breaks = outline.is_discontinuity
            || std::mem::take(&mut self.resumes)
            || (is_new_format && !self.has_broken);
        self.has_broken = false;
        let needs_map = is_other_init.then_some(init);
        self.write(folder, outline, needs_map, breaks, false)
    }

    /// Keeps number and time of a segment that is not (RFC 8216bis 4.4.4.7).
    pub(super) fn add_gap(&mut self, folder: &Folder, outline: Outline) -> io::Result<()> {
        // What nothing stands before leaves no hole.
        if self.init.is_none() && !(self.resumes && self.is_recording()) {
            return Ok(());
        }
        let breaks = outline.is_discontinuity || std::mem::take(&mut self.resumes);
        self.has_broken |= breaks;
        self.write(folder, outline, None, breaks, true)
    }

    fn is_recording(&self) -> bool {
        matches!(self.form, Form::Recording { .. })
    }

    fn write(
        &mut self,
        folder: &Folder,
        outline: Outline,
        map: Option<InitNumber>,
        is_discontinuity: bool,
        is_gap: bool,
    ) -> io::Result<()> {
        let target = self.target_duration.unwrap_or(1);
        let names = &self.names;
        let init_name = |number| names.write(MediaName::Init(number));
        let mut segment = ArchivedSegment {
            name: names.write(MediaName::Segment(outline.msn)),
            init: map.map(init_name),
            duration: outline.duration,
            program_date_time: outline.program_date_time,
            is_discontinuity,
            is_gap,
        };
        match &mut self.form {
            Form::Recording {
                is_begun,
                unwritten,
                unwritten_from,
            } => {
                if unwritten.len() > MOST_UNWRITTEN {
                    unwritten.clear();
                    *unwritten_from = None;
                    segment.is_discontinuity = true;
                    segment.init = self.init.map(init_name);
                }
                unwritten.push_str(&archive::segment(&segment));
                let from = *unwritten_from.get_or_insert(outline.msn);
                if !*is_begun || !folder.has(&self.file) {
                    let head = archive::header(ArchiveKind::Event, target, from.0, 0);
                    folder.begin_recording(&self.file, &head, target)?;
                    *is_begun = true;
                }
                folder.append(&self.file, unwritten.as_bytes())?;
                unwritten.clear();
                *unwritten_from = None;
                Ok(())
            }
            Form::Live {
                most,
                listed,
                discontinuity_sequence,
            } => {
                let needed = self.init.unwrap_or(InitNumber(0));
                listed.push_back((outline.msn, segment, needed));
                while listed.len() > *most
                    && let Some((_, gone, _)) = listed.pop_front()
                {
                    *discontinuity_sequence += u64::from(gone.is_discontinuity);
                }
                let mut text = String::new();
                let mut named = None;
                for (nth, (msn, segment, init)) in listed.iter().enumerate() {
                    if nth == 0 {
                        text = archive::header(
                            ArchiveKind::Live,
                            target,
                            msn.0,
                            *discontinuity_sequence,
                        );
                    }
                    let is_named = named.replace(*init) == Some(*init);
                    text.push_str(&archive::segment(&ArchivedSegment {
                        init: (!is_named).then(|| init_name(*init)),
                        ..segment.clone()
                    }));
                }
                folder.replace(&self.file, text.as_bytes())
            }
        }
    }

    /// Nothing comes any more.
    pub(super) fn finish(&mut self, folder: &Folder) -> io::Result<()> {
        match &mut self.form {
            Form::Recording {
                is_begun: true,
                unwritten,
                ..
            } => {
                folder.append(&self.file, unwritten.as_bytes())?;
                unwritten.clear();
                folder.finish_recording(&self.file)
            }
            Form::Live { listed, .. } if !listed.is_empty() => {
                folder.append(&self.file, format!("{}\n", archive::END).as_bytes())
            }
            _ => Ok(()),
        }
    }
}
