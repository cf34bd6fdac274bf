//! The renditions of a presentation: which there are, and what has become of each.
//!
//! Belongs here: settings read and found good, a rendition with its window.
//! Does not: what the renditions of one presentation owe each other (`super::Origin`), the window (`window`).

use std::collections::HashSet;
use std::fmt;

use super::media::{Description, RenditionId, RenditionKind, RenditionSettings};
use super::name::MediaNames;
use super::window::{LiveWindow, WindowSettings};

/// The settings of all renditions: at least one, each with a name of its own, nothing in them that a playlist could not
/// carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renditions(Vec<RenditionSettings>);

/// Why renditions cannot be presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenditionsError {
    /// There is none.
    None,
    /// A name that cannot be part of a URL.
    Name(String),
    /// Two renditions of one name.
    SameName(String),
}

impl fmt::Display for RenditionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no rendition to present"),
            Self::Name(name) => write!(
                f,
                "{name:?} is no name for a rendition: only ASCII letters, digits and underscores are"
            ),
            Self::SameName(name) => write!(f, "two renditions are called {name:?}"),
        }
    }
}

impl std::error::Error for RenditionsError {}

impl Renditions {
    /// Checks names. Labels and languages come from tags of any origin: what no attribute can carry is left out of
    /// them, and a label two renditions of a kind share gets their names behind it (rule MV-08).
    pub fn new(mut settings: Vec<RenditionSettings>) -> Result<Self, RenditionsError> {
        if settings.is_empty() {
            return Err(RenditionsError::None);
        }
        let mut names = HashSet::new();
        for rendition in &settings {
            let name = &rendition.name;
            let is_plain = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_plain {
                return Err(RenditionsError::Name(name.clone()));
            }
            if !names.insert(name.clone()) {
                return Err(RenditionsError::SameName(name.clone()));
            }
        }
        let mut labels = HashSet::<(RenditionKind, String)>::new();
        for rendition in &mut settings {
            rendition.language = rendition.language.take().filter(|tag| is_language(tag));
            rendition.label = printable(&rendition.label);
            if rendition.label.is_empty() {
                rendition.label.clone_from(&rendition.name);
            }
            while !labels.insert((rendition.kind, rendition.label.clone())) {
                rendition.label = format!("{} ({})", rendition.label, rendition.name);
            }
        }
        Ok(Self(settings))
    }

    /// Whether there is but one, so that the entry URL is its media playlist.
    pub fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    /// All of them in their fixed order, the main one first.
    pub fn iter(&self) -> impl Iterator<Item = (RenditionId, &RenditionSettings)> {
        self.0
            .iter()
            .enumerate()
            .map(|(place, settings)| (RenditionId(place), settings))
    }
}

/// A tag that looks like one of RFC 5646.
fn is_language(tag: &str) -> bool {
    !tag.is_empty()
        && tag.split('-').all(|subtag| {
            (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// The text as a quoted string may hold it (4.2): without control characters and double quotes.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .map(|letter| if letter == '"' { '\'' } else { letter })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// A rendition and what has been published to it.
#[derive(Clone, Debug)]
pub struct Rendition {
    settings: RenditionSettings,
    /// Without what tells it from others of the same label.
    wanted_label: String,
    pub(super) window: LiveWindow,
    /// The presentation does not wait for it. Set by the sink, of no meaning once it has a segment.
    pub(super) is_absent: bool,
}

impl Rendition {
    pub(super) fn new(id: RenditionId, settings: &RenditionSettings, list: WindowSettings) -> Self {
        let names = MediaNames::new(id, &settings.name);
        Self {
            window: LiveWindow::new(list, settings.name.clone(), names),
            settings: settings.clone(),
            wanted_label: settings.label.clone(),
            is_absent: false,
        }
    }

    /// Takes over what its tags say, as far as attributes can carry it, unless people see it already.
    pub(super) fn describe(&mut self, description: Description) {
        if self.window.is_live() {
            return;
        }
        let language = description.language.filter(|tag| is_language(tag));
        if language.is_some() {
            self.settings.language = language;
        }
        let label = description.label.map(|label| printable(&label));
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            self.wanted_label = label;
        }
    }

    /// What it is and is called.
    pub(super) fn label(&self) -> (RenditionKind, String) {
        (self.settings.kind, self.settings.label.clone())
    }

    /// Calls it what it wants to be called, or more than that where that is taken.
    pub(super) fn set_label(&mut self, taken: &mut HashSet<(RenditionKind, String)>) {
        self.settings.label.clone_from(&self.wanted_label);
        while !taken.insert(self.label()) {
            self.settings.label = format!("{} ({})", self.settings.label, self.settings.name);
        }
    }

    /// What was known of it from the start, or from its tags before it was live.
    pub fn settings(&self) -> &RenditionSettings {
        &self.settings
    }

    /// Its segments and parts.
    pub fn window(&self) -> &LiveWindow {
        &self.window
    }

    /// Whether the presentation has to wait for its first segment.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_absent && !self.window.is_ended() && self.window.fixed_constants().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(name: &str, label: &str) -> RenditionSettings {
        RenditionSettings {
            label: label.to_owned(),
            ..RenditionSettings::new(RenditionKind::Audio, name)
        }
    }

    #[test]
    fn names_are_plain_and_differ() {
        assert_eq!(Renditions::new(Vec::new()), Err(RenditionsError::None));
        for name in ["", "a b", "a/b", "a.b", "ä", "a\n", "a\""] {
            let renditions = Renditions::new(vec![audio(name, "")]);
            assert_eq!(renditions, Err(RenditionsError::Name(name.to_owned())));
        }
        let twice = Renditions::new(vec![audio("a", ""), audio("a", "")]);
        assert_eq!(twice, Err(RenditionsError::SameName("a".to_owned())));
        assert!(Renditions::new(vec![audio("audio_1", "")]).is_ok());
    }

    #[test]
    fn labels_can_stand_in_quotes_and_differ() {
        let renditions = Renditions::new(vec![
            audio("a", ""),
            audio("b", " The \"other\"\r\n side\u{7f} "),
            audio("c", "a"),
            audio("d", "Ton"),
            audio("e", "Ton"),
        ])
        .unwrap();
        let labels: Vec<&str> = renditions
            .iter()
            .map(|(_, rendition)| rendition.label.as_str())
            .collect();
        assert_eq!(labels, ["a", "The 'other' side", "a (c)", "Ton", "Ton (e)"]);
    }

    #[test]
    fn languages_that_are_none_are_left_out() {
        for (tag, expected) in [
            ("de", true),
            ("zh-Hant-TW", true),
            ("", false),
            ("de_DE", false),
            ("-", false),
            ("Deutsch und mehr", false),
            ("e\"n", false),
        ] {
            let settings = RenditionSettings {
                language: Some(tag.to_owned()),
                ..audio("a", "")
            };
            let renditions = Renditions::new(vec![settings]).unwrap();
            let (_, found) = renditions.iter().next().unwrap();
            assert_eq!(found.language.is_some(), expected, "{tag:?}");
        }
    }

    #[test]
    fn tags_describe_what_attributes_can_carry() {
        let list = WindowSettings {
            playlist_length: 6,
            max_files: 20,
        };
        let mut rendition = Rendition::new(RenditionId(1), &audio("audio_1", "audio_1"), list);
        let mut describe = |label: Option<&str>, language: Option<&str>| {
            rendition.describe(Description {
                label: label.map(str::to_owned),
                language: language.map(str::to_owned),
            });
            rendition.set_label(&mut HashSet::from([(
                RenditionKind::Audio,
                "Ton".to_owned(),
            )]));
            let settings = rendition.settings();
            (settings.label.clone(), settings.language.clone())
        };
        let told =
            |label: &str, language: Option<&str>| (label.to_owned(), language.map(str::to_owned));
        assert_eq!(describe(Some(" \n"), Some("de_DE")), told("audio_1", None));
        assert_eq!(describe(None, Some("de")), told("audio_1", Some("de")));
        let taken = told("Ton (audio_1)", Some("de"));
        assert_eq!(describe(Some("Ton"), None), taken);
    }
}
