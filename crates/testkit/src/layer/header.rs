//! One 512-byte tar header, as ustar (PAX) or in GNU's older form.

/// Which of the two living tar families writes what a plain header can't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// POSIX: ustar, with PAX records for what doesn't fit. What Docker, BuildKit and containerd write.
    Pax,
    /// GNU: `L`/`K` entries for long names, base-256 numbers. GNU tar's default.
    Gnu,
}

/// The bytes of one header, with setters by field. Numbers that don't fit are cut or written base-256, see each setter.
#[derive(Clone)]
pub struct RawHeader {
    bytes: [u8; 512],
}

pub(super) const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
pub(super) const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const LINK: (usize, usize) = (157, 100);
const UNAME: (usize, usize) = (265, 32);
const GNAME: (usize, usize) = (297, 32);
const MAJOR: (usize, usize) = (329, 8);
const MINOR: (usize, usize) = (337, 8);
const PREFIX: (usize, usize) = (345, 155);

impl RawHeader {
    /// An empty header with the magic of its family and the given type flag (`b'0'` file, `b'5'` folder, …).
    pub fn new(form: Header, type_flag: u8) -> Self {
        let mut header = Self { bytes: [0; 512] };
        header.bytes[156] = type_flag;
        let magic: &[u8; 8] = match form {
            Header::Pax => b"ustar\x0000",
            Header::Gnu => b"ustar  \0",
        };
        header.bytes[257..265].copy_from_slice(magic);
        header.number(MODE, 0).number(UID, 0).number(GID, 0).number(SIZE, 0).number(MTIME, 0);
        header.number(MAJOR, 0).number(MINOR, 0);
        header
    }

    /// Sets the name field; cut at 100 bytes.
    pub fn name(&mut self, name: &[u8]) -> &mut Self {
        self.text(NAME, name)
    }

    /// Sets the ustar prefix field; cut at 155 bytes.
    pub fn prefix(&mut self, prefix: &[u8]) -> &mut Self {
        self.text(PREFIX, prefix)
    }

    /// Sets the link target field; cut at 100 bytes.
    pub fn link(&mut self, target: &[u8]) -> &mut Self {
        self.text(LINK, target)
    }

    /// Sets the names of owner and group; cut at 32 bytes each.
    pub fn owner_names(&mut self, user: &str, group: &str) -> &mut Self {
        self.text(UNAME, user.as_bytes()).text(GNAME, group.as_bytes())
    }

    /// Sets the mode.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.number(MODE, i128::from(mode))
    }

    /// Sets owner and group; base-256 beyond 2 097 151.
    pub fn owner(&mut self, uid: i128, gid: i128) -> &mut Self {
        self.number(UID, uid).number(GID, gid)
    }

    /// Sets the size; base-256 from 8 GiB on and below 0.
    pub fn size(&mut self, size: i128) -> &mut Self {
        self.number(SIZE, size)
    }

    /// Sets the modification time in seconds; base-256 below 0 and after the year 2242.
    pub fn mtime(&mut self, seconds: i64) -> &mut Self {
        self.number(MTIME, i128::from(seconds))
    }

    /// Sets the numbers of a device.
    pub fn device(&mut self, major: u32, minor: u32) -> &mut Self {
        self.number(MAJOR, i128::from(major)).number(MINOR, i128::from(minor))
    }

    /// Overwrites bytes at any offset below 512, for forms that no setter can express. What would lie behind the header is dropped.
    pub fn patch(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        let start = offset.min(512);
        let count = bytes.len().min(512 - start);
        self.bytes[start..start + count].copy_from_slice(&bytes[..count]);
        self
    }

    /// The header with its checksum.
    pub fn sealed(&self) -> [u8; 512] {
        let mut bytes = self.bytes;
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
        bytes[CHECKSUM.0..CHECKSUM.0 + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    }

    /// Whether `value` fits in the octal digits of a field of `width` bytes.
    pub(super) fn fits_octal(value: i128, width: usize) -> bool {
        value >= 0 && value < 1 << (3 * (width - 1))
    }

    pub(super) fn number(&mut self, (at, width): (usize, usize), value: i128) -> &mut Self {
        let field = &mut self.bytes[at..at + width];
        if Self::fits_octal(value, width) {
            let text = format!("{value:0digits$o}\0", digits = width - 1);
            field.copy_from_slice(text.as_bytes());
        } else {
            // Base-256, big-endian, two's complement; the first bit marks the form.
            field.copy_from_slice(&value.to_be_bytes()[16 - width..]);
            field[0] |= 0x80;
        }
        self
    }

    fn text(&mut self, (at, width): (usize, usize), text: &[u8]) -> &mut Self {
        let field = &mut self.bytes[at..at + width];
        field.fill(0);
        let count = text.len().min(width);
        field[..count].copy_from_slice(&text[..count]);
        self
    }
}
