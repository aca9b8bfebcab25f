//! Archives, with every word of them at the author's will.

use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write;

use crate::arrays::{array, header, small};
use crate::case::Case;

/// One member of an archive, as the archive tells it.
#[derive(Clone)]
pub(crate) struct Member {
    name: Vec<u8>,
    method: u16,
    checksum: u32,
    packed: Vec<u8>,
    unpacked: u32,
    /// Where the directory says that it begins, instead of where it does.
    start: Option<u32>,
}

impl Member {
    /// A member as it should be, not compressed.
    pub(crate) fn stored(name: &str, bytes: Vec<u8>) -> Self {
        let unpacked = u32::try_from(bytes.len()).expect("a small member");
        let (name, checksum) = (name.as_bytes().to_vec(), checksum(&bytes));
        Self { name, method: 0, checksum, packed: bytes, unpacked, start: None }
    }

    fn deflated(name: &str, bytes: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("room");
        let packed = encoder.finish().expect("room");
        Self { method: 8, packed, ..Self::stored(name, bytes.to_vec()) }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

/// The archive; its directory counts `count` members.
fn archive_of(members: &[Member], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let start = member.start.unwrap_or_else(|| u32::try_from(bytes.len()).expect("a small archive"));
        bytes.extend(b"PK\x03\x04\x14\x00\x00\x00");
        let common = common(member);
        bytes.extend(&common);
        bytes.extend(&member.name);
        bytes.extend(&member.packed);
        directory.extend(b"PK\x01\x02\x14\x00\x14\x00\x00\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(&member.name);
    }
    let place = u32::try_from(bytes.len()).expect("a small archive");
    let size = u32::try_from(directory.len()).expect("a small directory");
    let count = u16::try_from(count).expect("a small count").to_le_bytes();
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count, count].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(place.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// What the directory and the member's own header say alike.
fn common(member: &Member) -> Vec<u8> {
    let mut bytes = member.method.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(member.checksum.to_le_bytes());
    bytes.extend(u32::try_from(member.packed.len()).expect("a small member").to_le_bytes());
    bytes.extend(member.unpacked.to_le_bytes());
    bytes.extend(u16::try_from(member.name.len()).expect("a short name").to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The archive of these members.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    archive_of(members, members.len())
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, members: &[Member], says| Case::file(name, "a.npz", archive(members), says);
    let a = || Member::stored("a.npy", small());
    let named = |name: &[u8]| Member { name: name.to_vec(), ..a() };
    let whole = archive(&[a()]);
    let bomb = array(&header("<f4", "(16777216,)"), 64 << 20);
    let bomb = Member::deflated("a.npy", &bomb);
    vec![
        case("npz_two_members_of_one_name", &[a(), a()], "two tensors have the name \"a.npy\""),
        case("npz_member_that_leads_out", &[named(b"../a.npy")], "lead out of a folder"),
        case("npz_member_from_the_root", &[named(b"/a.npy")], "lead out of a folder"),
        case("npz_member_of_windows", &[named(b"..\\a.npy")], "lead out of a folder"),
        case("npz_member_that_is_no_text", &[named(b"\xff.npy")], "not UTF-8"),
        case("npz_name_with_an_escape", &[named(b"\x1b[2J.npy")], "has a member named"),
        case("npz_that_unpacks_too_far", &bombs(&bomb), "would unpack to so many"),
        case(
            "npz_that_says_less_than_it_unpacks",
            &[Member { unpacked: 90, ..bomb.clone() }],
            "tensor \"a\"",
        ),
        case("npz_that_says_more_than_it_unpacks", &[Member { unpacked: 4000, ..a() }], "half a file?"),
        case(
            "npz_whose_members_share_bytes",
            &[a(), Member { start: Some(0), ..named(b"b.npy") }],
            "shares bytes",
        ),
        case("npz_with_a_wrong_checksum", &[Member { checksum: 7, ..a() }], "tensor \"a\""),
        case(
            "npz_with_a_damaged_value",
            &[Member { checksum: 7, ..Member::deflated("a.npy", &small()) }],
            "tensor \"a\"",
        ),
        case("npz_packed_in_another_way", &[Member { method: 93, ..a() }], "expected stored or deflated"),
        case("npz_that_is_not_deflated", &[Member { method: 8, ..a() }], "tensor \"a\""),
        case("npz_of_no_array", &[Member::stored("a.npy", b"no array".to_vec())], "not an array"),
        case("npz_of_something_else", &[Member::stored("a.txt", b"text".to_vec())], "no tensor found"),
        case("npz_without_members", &[], "no tensor found"),
        case("npz_of_half_an_array", &[Member::stored("a.npy", small()[..70].to_vec())], "half a file?"),
        Case::file("npz_that_counts_more_members", "a.npz", archive_of(&[a()], 3), "counts 3"),
        Case::file(
            "npz_that_counts_fewer_members",
            "a.npz",
            archive_of(&[a(), named(b"b.npy")], 1),
            "counts 1",
        ),
        Case::file("npz_half_a_file", "a.npz", whole[..whole.len() - 30].to_vec(), "not a whole zip archive"),
        Case::file("npz_without_its_beginning", "a.npz", whole[40..].to_vec(), "a.npz"),
        Case::file("npz_empty_file", "a.npz", Vec::new(), "not a whole zip archive"),
    ]
}

/// Members that each unpack to 64 MiB.
fn bombs(bomb: &Member) -> Vec<Member> {
    (0..8).map(|number| Member { name: format!("{number}.npy").into_bytes(), ..bomb.clone() }).collect()
}
