//! A folder and the files in it that may be touched.
//!
//! Belongs here: which names and kinds of files there may be, reading one. Does not: what is in them (`timeline`), when
//! they are finished (`watcher`).

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Lines, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    delivery::archive,
    origin::media::{RenditionId, RenditionSettings},
    origin::name::{MediaName, MediaNames},
    time::UnixTime,
};

/// A segment larger than this is none; reading it would cost as much memory.
const LARGEST_FILE: u64 = 256 * 1024 * 1024;

/// More entries than this are not looked at: a folder of segments has a few hundred.
const MOST_ENTRIES: usize = 50_000;

/// A folder of media.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// A regular file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: UnixTime,
    /// What stays the same when it is renamed, and is given to another file once this one is gone; 0 where that is not known.
    pub(super) inode: u64,
    /// When it was made, under whatever name; not every file system knows.
    pub(super) created: Option<UnixTime>,
}

impl Entry {
    fn new(name: String, metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            name,
            size: metadata.len(),
            modified: UnixTime::from_system(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)),
            inode,
            created: metadata.created().ok().map(UnixTime::from_system),
        }
    }
}

/// A name, and why it is none of the stream.
pub(super) type Refused = (String, &'static str);

const IS_LINK: &str = "it is a symbolic link";
const NOT_PLAIN: &str = "its name is not plain";

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is gone.
    Missing,
    /// It is a link, or no file at all.
    Refused(&'static str),
    /// The system said no.
    Io(io::Error),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is gone"),
            Self::Refused(reason) => f.write_str(reason),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Io(error)
        }
    }
}

impl Folder {
    /// The folder at `path`, made if it is not there. It stays the same one wherever the process goes later, and has the name
    /// that inotify knows it by.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(std::path::absolute(path)?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// What tells the folder from another one at its path; `None` when there is none, or the system has nothing to tell it by.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = fs::metadata(&self.0).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let identity = metadata.is_dir().then_some((0, 0));
        identity
    }

    /// The regular files that may be media or on their way to be.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        Ok(self.list()?.0)
    }

    /// The same, and what looks like media and is refused, with the reason.
    pub(super) fn list(&self) -> io::Result<(Vec<Entry>, Vec<Refused>)> {
        let mut entries = Vec::new();
        let mut refused = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(MOST_ENTRIES) {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Of the entry itself, not of what it may link to. It may be gone by now.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_symlink() && is_media(&name) {
                refused.push((name, IS_LINK));
            } else if metadata.is_file() && is_refused(&name) {
                refused.push((name, NOT_PLAIN));
            } else if metadata.is_file() && is_plain(&name) {
                entries.push(Entry::new(name, &metadata));
            }
        }
        Ok((entries, refused))
    }

    /// A file with all its bytes.
    pub(super) fn read(&self, name: &str) -> Result<(Entry, Vec<u8>), ReadError> {
        if !is_plain(name) {
            return Err(ReadError::Refused(NOT_PLAIN));
        }
        let path = self.0.join(name);
        let seen = fs::symlink_metadata(&path)?;
        if seen.is_symlink() {
            return Err(ReadError::Refused(IS_LINK));
        }
        if !seen.is_file() {
            return Err(ReadError::Refused("it is no regular file"));
        }
        let file = open_for_reading(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ReadError::Refused("it is no regular file"));
        }
        if metadata.len() > LARGEST_FILE {
            return Err(ReadError::Refused("it is larger than any segment"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        Ok((Entry::new(name.to_owned(), &metadata), bytes))
    }
}

impl Folder {
    /// Whether a file begins with a box of one of these types.
    pub(super) fn begins_with(&self, name: &str, types: &[[u8; 4]]) -> bool {
        let mut head = [0; 8];
        let read =
            open_for_reading(&self.0.join(name)).and_then(|mut file| file.read_exact(&mut head));
        read.is_ok() && types.iter().any(|kind| head.ends_with(kind))
    }
}

/// What may be done to files of our own names.
impl Folder {
    /// Makes the folder again after it was removed.
    pub(super) fn make_again(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    /// Which of the files are called as ours are.
    pub(super) fn own_files(
        &self,
        renditions: &[RenditionSettings],
    ) -> Vec<(RenditionId, MediaName)> {
        let names: Vec<MediaNames> = renditions
            .iter()
            .enumerate()
            .map(|(place, rendition)| MediaNames::new(RenditionId(place), &rendition.name))
            .collect();
        // However many there are: a number that is overlooked is a file that is written over.
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .flat_map(|name| {
                let read = |(place, names): (usize, &MediaNames)| {
                    Some((RenditionId(place), names.read(&name)?))
                };
                names
                    .iter()
                    .enumerate()
                    .filter_map(read)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// An empty file of that name, whatever was there before. A link of that name is not followed.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        no_follow(&mut options);
        let file = options.open(self.own_path(name)?)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(file)
    }

    /// Puts a file in the place of one of the same name, so that nobody ever sees half of it.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(name, |file| file.write_all(bytes))
    }

    fn replace_with(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.own_path(name)?;
        let draft = self.0.join(format!(".{name}.tmp"));
        // A draft of a run that was cut off, or a link somebody put there.
        let _ = fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        no_follow(&mut options);
        let mut file = options.open(&draft)?;
        let renamed = write(&mut file).and_then(|()| fs::rename(&draft, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        renamed
    }

    /// Adds to the end of a file of ours.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true);
        no_follow(&mut options);
        let mut file = options.open(self.own_path(name)?)?;
        let whole = file.metadata()?.len();
        let written = file.write_all(bytes);
        if written.is_err() {
            // No half lines.
            let _ = file.set_len(whole);
        }
        written
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        let metadata = self.own_path(name).and_then(fs::symlink_metadata);
        metadata.is_ok_and(|metadata| metadata.is_file())
    }

    /// Removes a file of ours; one that is gone already is no less removed.
    pub(super) fn remove(&self, name: &str) {
        if let Ok(path) = self.own_path(name) {
            let _ = fs::remove_file(path);
        }
    }

    /// Begins the playlist of a recording with `head`, or goes on with what an earlier one left under this name. No segment of
    /// either is longer than the target duration (RFC 8216bis 4.4.3.1).
    pub(super) fn begin_recording(
        &self,
        name: &str,
        head: &str,
        target_duration: u32,
    ) -> io::Result<()> {
        let earlier = self.lines(name)?;
        self.replace_with(name, |file| {
            let mut out = BufWriter::new(file);
            let mut lines = 0;
            for line in earlier.into_iter().flatten() {
                let line = line?;
                lines += 1;
                let target = line
                    .strip_prefix(archive::TARGET_DURATION)
                    .and_then(|seconds| seconds.parse().ok());
                match (line.as_str(), target) {
                    (archive::END, _) => {}
                    (archive::VOD, _) => writeln!(out, "{}", archive::EVENT)?,
                    (_, Some(before)) => writeln!(
                        out,
                        "{}{}",
                        archive::TARGET_DURATION,
                        target_duration.max(before)
                    )?,
                    (line, None) => writeln!(out, "{line}")?,
                }
            }
            if lines == 0 {
                out.write_all(head.as_bytes())?;
            }
            out.flush()
        })
    }

    /// The lines of a text file of ours; `None` if it is not there.
    pub(super) fn lines(&self, name: &str) -> io::Result<Option<Lines<BufReader<File>>>> {
        match open_for_reading(&self.own_path(name)?) {
            Ok(file) => Ok(Some(BufReader::new(file).lines())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a file of ours another name, made of its own and a number, and answers that.
    pub(super) fn set_aside(&self, name: &str) -> io::Result<String> {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let mut free = (1..).map(|number| format!("{stem}.{number}.{extension}"));
        let other = free.find(|other| !self.has(other)).unwrap_or_default();
        fs::rename(self.own_path(name)?, self.own_path(&other)?)?;
        Ok(other)
    }

    /// The recording is complete: its playlist says so.
    pub(super) fn finish_recording(&self, name: &str) -> io::Result<()> {
        let recorded = BufReader::new(open_for_reading(&self.own_path(name)?)?);
        self.replace_with(name, |file| {
            let mut out = BufWriter::new(file);
            for line in recorded.lines() {
                match line?.as_str() {
                    archive::EVENT => writeln!(out, "{}", archive::VOD)?,
                    line => writeln!(out, "{line}")?,
                }
            }
            writeln!(out, "{}", archive::END)?;
            out.flush()
        })
    }

    fn own_path(&self, name: &str) -> io::Result<PathBuf> {
        if is_plain(name) {
            Ok(self.0.join(name))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is no name for a file"),
            ))
        }
    }
}

fn open_for_reading(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    no_follow(&mut options);
    options.open(path)
}

/// The file itself is opened, never what a link of its name leads to; and a pipe without a writer does not block.
pub(super) fn no_follow(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // The bits of open(2) are an int.
        options.custom_flags(flags.bits() as i32);
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// Whether a name is one of a file in the folder and nothing else: no separators, not hidden, nothing unprintable.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name
            .chars()
            .any(|letter| matches!(letter, '/' | '\\') || is_drive(letter) || letter.is_control())
}

/// Where a colon ends the name of a drive or begins that of a stream. Elsewhere times of day are written with it.
fn is_drive(letter: char) -> bool {
    cfg!(windows) && letter == ':'
}

/// Whether a file of that name can hold media: what MP4 fragments and their init sections are usually called.
pub(super) fn is_media(name: &str) -> bool {
    is_plain(name) && has_extension(name)
}

/// Whether it could, were it not for the rest of the name. Hidden files are nobody's business.
pub(super) fn is_refused(name: &str) -> bool {
    !is_plain(name) && !name.starts_with('.') && has_extension(name)
}

fn has_extension(name: &str) -> bool {
    const EXTENSIONS: [&str; 7] = ["m4s", "mp4", "cmfv", "cmfa", "m4v", "m4a", "m4f"];
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_none_of_ours() {
        for name in [
            "", ".", "..", "../a.m4s", "a/b.m4s", "a\\b.m4s", ".a.m4s", "a\n.m4s",
        ] {
            assert!(!is_plain(name), "{name:?}");
            assert!(!is_media(name), "{name:?}");
        }
        for name in [
            "segment_00001.m4s",
            "init.mp4",
            "Bild 1.M4S",
            "ä.cmfv",
            "13:02:54.m4s",
        ] {
            assert!(is_media(name), "{name:?}");
        }
        for name in ["live.m3u8", "segment_00001.m4s.tmp", "m4s", "mp4", "a.ts"] {
            assert!(!is_media(name), "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_folders_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::make(&place.path().join("made/on the way")).unwrap();
        fs::write(folder.path().join("real.m4s"), b"abc").unwrap();
        std::os::unix::fs::symlink("real.m4s", folder.path().join("link.m4s")).unwrap();
        fs::create_dir(folder.path().join("folder.m4s")).unwrap();
        let names: Vec<String> = folder
            .entries()
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["real.m4s"]);
        assert_eq!(folder.read("real.m4s").unwrap().1, b"abc");
        for name in ["link.m4s", "folder.m4s", "../on the way/real.m4s"] {
            assert!(
                matches!(folder.read(name), Err(ReadError::Refused(_))),
                "{name}"
            );
        }
        assert!(matches!(folder.read("none.m4s"), Err(ReadError::Missing)));
    }

    /// Whoever may write to the folder can put links where our files will be: nothing outside is written, read or removed.
    #[cfg(unix)]
    #[test]
    fn links_in_the_place_of_our_files_lead_nowhere() {
        use std::os::unix::fs::symlink;

        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::write(&outside, b"#EXTM3U\n").unwrap();
        let folder = Folder::make(&place.path().join("live")).unwrap();
        let name = "segment_00001.m4s";
        let link = folder.path().join(name);
        let is_link = |path: &Path| fs::symlink_metadata(path).unwrap().is_symlink();

        symlink(&outside, &link).unwrap();
        assert!(!folder.has(name));
        assert!(folder.create(name).is_err());
        assert!(folder.append(name, b"more").is_err());
        assert!(folder.lines(name).is_err());
        assert!(folder.finish_recording(name).is_err());
        assert!(folder.begin_recording(name, "#EXTM3U\n", 1).is_err());
        assert!(is_link(&link));
        folder.remove(name);
        assert!(!link.exists());

        // Where a file is put in place as a whole, it takes the place of the link, and of one where its draft will be.
        symlink(&outside, &link).unwrap();
        symlink(&outside, folder.path().join(format!(".{name}.tmp"))).unwrap();
        folder.replace(name, b"whole").unwrap();
        assert!(!is_link(&link));
        assert_eq!(fs::read(&link).unwrap(), b"whole");
        assert_eq!(fs::read(&outside).unwrap(), b"#EXTM3U\n");
    }
}
