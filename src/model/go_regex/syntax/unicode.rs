//! The Unicode classes that Go knows by name, reduced to the ASCII characters they hold.
//!
//! Input: the name in `\p{Name}`. Output: [`AsciiSet`]. I/O: none.
//!
//! The tables are what Go 1.26 (Unicode 15) accepts and matches: categories, their long names, and scripts. Go drops
//! `_` before it looks a name up but not from its table of scripts, so that no script of two words can be named.

use super::class::AsciiSet;

/// Names of classes without any ASCII character.
const WITHOUT_ASCII: &str = "Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo Brahmi Braille \
    Buginese Buhid Carian Cf Chakma Cham Cherokee Chorasmian Cn Co Combiningmark Coptic Cs Cuneiform \
    Cypriot Cyrillic Deseret Devanagari Dogra Duployan Elbasan Elymaic Enclosingmark Ethiopic \
    Finalpunctuation Format Georgian Glagolitic Gothic Grantha Greek Gujarati Gurmukhi Han Hangul \
    Hanunoo Hatran Hebrew Hiragana Inherited Initialpunctuation Javanese Kaithi Kannada Katakana Kawi \
    Kharoshthi Khmer Khojki Khudawadi Lao Lepcha Letternumber Limbu Lineseparator Lisu Lm Lo Lt Lycian \
    Lydian M Mahajani Makasar Malayalam Mandaic Manichaean Marchen Mark Mc Me Medefaidrin Miao Mn Modi \
    Modifierletter Mongolian Mro Multani Myanmar Nabataean Nandinagari Newa Nko Nl No Nonspacingmark \
    Nushu Ogham Oriya Osage Osmanya Otherletter Othernumber Othersymbol Palmyrene Paragraphseparator Pf \
    Phoenician Pi Privateuse Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham Sinhala So \
    Sogdian Soyombo Spacingmark Sundanese Surrogate Syriac Tagalog Tagbanwa Takri Tamil Tangsa Tangut \
    Telugu Thaana Thai Tibetan Tifinagh Tirhuta Titlecaseletter Toto Ugaritic Unassigned Vai Vithkuqi \
    Wancho Yezidi Yi Zl Zp";

/// The ASCII characters of the class of that name; `None` if Go knows no such class.
pub(super) fn ascii_part(name: &str) -> Option<AsciiSet> {
    let name = canonical(name);
    let ranges: &[(u8, u8)] = match &*name {
        "Any" | "Ascii" | "Assigned" => &[(0x00, 0x7f)],
        "C" | "Cc" | "Cntrl" | "Control" | "Other" => &[(0x00, 0x1f), (0x7f, 0x7f)],
        "Casedletter" | "L" | "Latin" | "Lc" | "Letter" => &[(b'A', b'Z'), (b'a', b'z')],
        "Closepunctuation" | "Pe" => &[(b')', b')'), (b']', b']'), (b'}', b'}')],
        "Common" => &[(0x00, b'@'), (b'[', b'`'), (b'{', 0x7f)],
        "Connectorpunctuation" | "Pc" => &[(b'_', b'_')],
        "Currencysymbol" | "Sc" => &[(b'$', b'$')],
        "Dashpunctuation" | "Pd" => &[(b'-', b'-')],
        "Decimalnumber" | "Digit" | "N" | "Nd" | "Number" => &[(b'0', b'9')],
        "Ll" | "Lowercaseletter" => &[(b'a', b'z')],
        "Lu" | "Uppercaseletter" => &[(b'A', b'Z')],
        "Mathsymbol" | "Sm" => &[(b'+', b'+'), (b'<', b'>'), (b'|', b'|'), (b'~', b'~')],
        "Modifiersymbol" | "Sk" => &[(b'^', b'^'), (b'`', b'`')],
        "Openpunctuation" | "Ps" => &[(b'(', b'('), (b'[', b'['), (b'{', b'{')],
        "Otherpunctuation" | "Po" => &[
            (b'!', b'#'),
            (b'%', b'\''),
            (b'*', b'*'),
            (b',', b','),
            (b'.', b'/'),
            (b':', b';'),
            (b'?', b'@'),
            (b'\\', b'\\'),
        ],
        "P" | "Punct" | "Punctuation" => &[
            (b'!', b'#'),
            (b'%', b'*'),
            (b',', b'/'),
            (b':', b';'),
            (b'?', b'@'),
            (b'[', b']'),
            (b'_', b'_'),
            (b'{', b'{'),
            (b'}', b'}'),
        ],
        "S" | "Symbol" => &[
            (b'$', b'$'),
            (b'+', b'+'),
            (b'<', b'>'),
            (b'^', b'^'),
            (b'`', b'`'),
            (b'|', b'|'),
            (b'~', b'~'),
        ],
        "Separator" | "Spaceseparator" | "Z" | "Zs" => &[(0x20, 0x20)],
        _ => {
            return WITHOUT_ASCII
                .split(' ')
                .any(|known| known == name)
                .then_some(AsciiSet::EMPTY);
        }
    };
    let sets = ranges.iter().map(|&(low, high)| AsciiSet::from_bytes(low, high));
    Some(sets.fold(AsciiSet::EMPTY, AsciiSet::or))
}

/// The name as the tables spell it: first letter in upper case, the others in lower case, no `_`, `-` or space.
fn canonical(name: &str) -> String {
    let mut letters = name.chars().filter(|letter| !matches!(letter, '_' | '-' | ' '));
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters.map(|letter| letter.to_ascii_lowercase()))
        .collect()
}
