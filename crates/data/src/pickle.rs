//! As much of Python's pickle (protocols 0 to 5) as the batches of CIFAR-10 need: containers, numbers, strings and NumPy's arrays of
//! integers, as Python 2 wrote them and as Python 3 writes them again.
//!
//! A pickle is a program for a stack machine that may call any Python function. This machine calls none: it knows how NumPy's
//! arrays are put together and refuses the rest. What it holds is bounded by a small multiple of the file.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// More values than this are not a batch of 10,000 images with names.
const MAX_VALUES: usize = 1 << 20;

/// Place of a value. Values refer to each other by place, so lists can be filled after they were remembered, and cycles do no harm.
type Id = u32;

/// A dictionary at the root of a pickle.
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

enum Value<'a> {
    /// None, a float, or another thing that matters to nobody here.
    Other,
    Truth(bool),
    Integer(i64),
    Text(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// `module name` of something importable.
    Global(Cow<'a, [u8]>, Cow<'a, [u8]>),
    DataType(Item),
    Array(Array<'a>),
}

/// An array of integers.
#[derive(Clone)]
pub(super) struct Array<'a> {
    pub shape: Vec<usize>,
    pub item: Item,
    /// Whether the first index runs fastest.
    pub column_major: bool,
    /// Little-endian.
    pub data: Cow<'a, [u8]>,
}

/// An integer in an array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Bytes.
    pub size: usize,
    signed: bool,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle whose root is a dictionary. The error says what is wrong with it.
    pub(super) fn load(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), made: 0 };
        let root = machine.run()?;
        match machine.values[root as usize] {
            Value::Dictionary(_) => Ok(Self { values: machine.values, root }),
            _ => Err("the pickle is not a dictionary".into()),
        }
    }

    /// The array under `key`.
    pub(super) fn array(&self, key: &str) -> Option<&Array<'a>> {
        match self.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The list, or the array of one dimension, of integers under `key`.
    pub(super) fn integers(&self, key: &str) -> Option<Vec<i64>> {
        match self.get(key)? {
            Value::List(items) => {
                let integer = |&id: &Id| match self.values[id as usize] {
                    Value::Integer(n) => Some(n),
                    _ => None,
                };
                items.iter().map(integer).collect()
            }
            Value::Array(array) if array.shape.iter().filter(|&&size| size != 1).count() <= 1 => {
                Some(array.data.chunks_exact(array.item.size).map(|bytes| array.item.value(bytes)).collect())
            }
            _ => None,
        }
    }

    fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dictionary(items) = &self.values[self.root as usize] else { return None };
        let named = |id: Id| matches!(&self.values[id as usize], Value::Text(text) if text[..] == *key.as_bytes());
        items.iter().find(|&&(name, _)| named(name)).map(|&(_, value)| &self.values[value as usize])
    }
}

impl Item {
    /// Of a data type's name: `u1`, `|u1`, `<i8`.
    fn named(name: &[u8]) -> Option<Self> {
        let name = name.strip_prefix(b"|").or(name.strip_prefix(b"<")).unwrap_or(name);
        let (kind, size) = match name {
            b"b1" => (b'u', 1),
            [kind @ (b'u' | b'i'), size @ (b'1' | b'2' | b'4' | b'8')] => (*kind, usize::from(size - b'0')),
            _ => return None,
        };
        Some(Self { size, signed: kind == b'i' })
    }

    fn value(self, bytes: &[u8]) -> i64 {
        let negative = self.signed && bytes.last().is_some_and(|last| *last >= 0x80);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole[..self.size].copy_from_slice(bytes);
        i64::from_le_bytes(whole)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
    /// Bytes of values that are not pieces of the file.
    made: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let at = self.at;
            let code = self.byte()?;
            match code {
                b'.' => return self.pop(),
                b'\x80' => {
                    self.byte()?;
                }
                // A frame is a hint for reading ahead.
                b'\x95' => {
                    self.take(8)?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_many(None)?;
                }
                b'2' => {
                    let top = *self.stack.last().ok_or("the pickle copies nothing")?;
                    self.stack.push(top);
                }
                b'p' => self.remember(|machine| machine.decimal().and_then(place))?,
                b'q' => self.remember(|machine| machine.byte().map(u32::from))?,
                b'r' => self.remember(Self::long)?,
                b'\x94' => self.remember(|machine| Ok(machine.memo.len() as u32))?,
                b'g' => self.recall(|machine| machine.decimal().and_then(place))?,
                b'h' => self.recall(|machine| machine.byte().map(u32::from))?,
                b'j' => self.recall(Self::long)?,
                b'N' => self.push(Value::Other)?,
                b'\x88' => self.push(Value::Truth(true))?,
                b'\x89' => self.push(Value::Truth(false))?,
                b'F' => {
                    self.line()?;
                    self.push(Value::Other)?;
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Other)?;
                }
                b'I' => match self.line()? {
                    b"00" => self.push(Value::Truth(false))?,
                    b"01" => self.push(Value::Truth(true))?,
                    digits => self.push(Value::Integer(number(digits)?))?,
                },
                b'L' => self.integer(Self::decimal)?,
                b'K' => self.integer(|machine| machine.byte().map(i64::from))?,
                b'M' => self.integer(|machine| machine.array().map(|b| i64::from(u16::from_le_bytes(b))))?,
                b'J' => self.integer(|machine| machine.array().map(|b| i64::from(i32::from_le_bytes(b))))?,
                b'\x8a' => self.long_integer()?,
                b'S' => self.quoted()?,
                b'V' => self.escaped()?,
                b'U' | b'C' | b'\x8c' => self.text(|machine| machine.byte().map(u64::from))?,
                b'T' | b'X' | b'B' => self.text(|machine| machine.long().map(u64::from))?,
                b'\x8d' | b'\x8e' | b'\x96' => self.text(|machine| machine.array().map(u64::from_le_bytes))?,
                b'c' => self.global()?,
                b'\x93' => self.global_on_stack()?,
                b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b'l' => {
                    let items = self.pop_many(None)?;
                    self.push(Value::List(items))?;
                }
                b'd' => {
                    let items = self.pop_many(None)?;
                    self.push(Value::Dictionary(pairs(&items)?))?;
                }
                b't' => self.tuple(None)?,
                b'\x85'..=b'\x87' => self.tuple(Some(usize::from(code - b'\x84')))?,
                b'a' => self.append(Some(1))?,
                b'e' => self.append(None)?,
                b's' => self.insert(Some(2))?,
                b'u' => self.insert(None)?,
                b'R' => self.call()?,
                b'b' => self.build()?,
                _ => return Err(format!("not a pickle of images and labels (byte {code:#04x} at {at})")),
            }
            if self.values.len().max(self.stack.len()).max(self.marks.len()) > MAX_VALUES {
                return Err("the pickle holds far more values than a batch of images".into());
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes[self.at..].get(..count).ok_or("the pickle is cut off; get the file again")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn long(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or("the pickle is cut off")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = Id::try_from(self.values.len()).map_err(|_| "too many values")?;
        self.values.push(value);
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "the pickle takes from an empty stack".into())
    }

    /// The last `count` values of the stack, or those since the last mark.
    fn pop_many(&mut self, count: Option<usize>) -> Result<Vec<Id>, String> {
        let from = match count {
            Some(count) => self.stack.len().checked_sub(count),
            None => self.marks.pop().filter(|&height| height <= self.stack.len()),
        };
        Ok(self.stack.split_off(from.ok_or("the pickle takes from an empty stack")?))
    }

    fn top(&mut self) -> Result<&mut Value<'a>, String> {
        let id = *self.stack.last().ok_or("the pickle fills nothing")?;
        Ok(&mut self.values[id as usize])
    }

    fn integer(&mut self, read: impl FnOnce(&mut Self) -> Result<i64, String>) -> Result<(), String> {
        let value = read(self)?;
        self.push(Value::Integer(value))
    }

    fn text(&mut self, length: impl FnOnce(&mut Self) -> Result<u64, String>) -> Result<(), String> {
        let length = length(self)?;
        let text = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.push(Value::Text(Cow::Borrowed(text)))
    }

    /// A value that is no piece of the file; all of them together are hardly larger than it.
    fn made(&mut self, text: Vec<u8>) -> Result<(), String> {
        self.made += text.len();
        if self.made > 4 * self.bytes.len() + 4096 {
            return Err("the pickle makes far more of its texts than a batch of images does".into());
        }
        self.push(Value::Text(Cow::Owned(text)))
    }

    fn decimal(&mut self) -> Result<i64, String> {
        let line = self.line()?;
        number(line.strip_suffix(b"L").unwrap_or(line))
    }

    /// An integer of as many bytes as the first says.
    fn long_integer(&mut self) -> Result<(), String> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        match length {
            0 => self.push(Value::Integer(0)),
            1..=8 => self.push(Value::Integer(Item { size: length, signed: true }.value(bytes))),
            _ => self.push(Value::Other),
        }
    }

    /// `'text'` with Python's escapes, as protocol 0 has it.
    fn quoted(&mut self) -> Result<(), String> {
        let line = self.line()?;
        let text = line.get(1..line.len().saturating_sub(1)).unwrap_or_default();
        let mut plain = Vec::with_capacity(text.len());
        let mut rest = text;
        while let [first, after @ ..] = rest {
            rest = after;
            if *first != b'\\' {
                plain.push(*first);
                continue;
            }
            let [kind, after @ ..] = rest else { break };
            rest = after;
            match kind {
                b'n' => plain.push(b'\n'),
                b't' => plain.push(b'\t'),
                b'r' => plain.push(b'\r'),
                b'x' => {
                    let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                    plain.push(
                        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or("a text of the pickle is damaged")?,
                    );
                    rest = &rest[2..];
                }
                other => plain.push(*other),
            }
        }
        self.made(plain)
    }

    /// A line of Latin letters in which others are `\\u` and four digits, as protocol 0 has it; kept as UTF-8.
    fn escaped(&mut self) -> Result<(), String> {
        let mut rest = self.line()?;
        let mut text = String::new();
        while let [first, after @ ..] = rest {
            let digits = after
                .get(1..5)
                .filter(|_| *first == b'\\' && after[0] == b'u')
                .and_then(|digits| std::str::from_utf8(digits).ok());
            match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32) {
                Some(letter) => {
                    text.push(letter);
                    rest = &after[5..];
                }
                None => {
                    text.push(char::from(*first));
                    rest = after;
                }
            }
        }
        self.made(text.into_bytes())
    }

    fn global_on_stack(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.values[module as usize], &self.values[name as usize]) {
            (Value::Text(module), Value::Text(name)) => {
                let global = Value::Global(module.clone(), name.clone());
                self.push(global)
            }
            _ => Err("the pickle names a function by what is no text".into()),
        }
    }

    fn remember(&mut self, key: impl FnOnce(&mut Self) -> Result<u32, String>) -> Result<(), String> {
        let key = key(self)?;
        let id = *self.stack.last().ok_or("the pickle remembers nothing")?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: impl FnOnce(&mut Self) -> Result<u32, String>) -> Result<(), String> {
        let key = key(self)?;
        let id = *self.memo.get(&key).ok_or("the pickle recalls what it never had")?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Global(module.into(), name.into()))
    }

    fn tuple(&mut self, count: Option<usize>) -> Result<(), String> {
        let items = self.pop_many(count)?;
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, count: Option<usize>) -> Result<(), String> {
        let new = self.pop_many(count)?;
        match self.top()? {
            Value::List(items) => items.extend(new),
            _ => return Err("the pickle appends to what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, count: Option<usize>) -> Result<(), String> {
        let new = self.pop_many(count)?;
        match self.top()? {
            Value::Dictionary(items) => items.extend(pairs(&new)?),
            _ => return Err("the pickle inserts into what is no dictionary".into()),
        }
        Ok(())
    }

    /// A call in Python; here those that make arrays, their data types and their bytes, and no other.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(module, name) = &self.values[function as usize] else {
            return Err("the pickle calls what is no function".into());
        };
        let Value::Tuple(arguments) = &self.values[arguments as usize] else {
            return Err("the pickle calls a function without arguments".into());
        };
        let argument = |index: usize| arguments.get(index).map(|&id| &self.values[id as usize]);
        let module = module.strip_prefix(b"numpy._core").map_or_else(|| module.to_vec(), |rest| [b"numpy.core", rest].concat());
        let result = match (module.as_slice(), &name[..]) {
            (b"numpy.core.multiarray", b"_reconstruct") => {
                let item = Item { size: 1, signed: false };
                Value::Array(Array { shape: Vec::new(), item, column_major: false, data: Cow::Borrowed(&[]) })
            }
            (b"numpy.core.numeric", b"_frombuffer") => {
                let (Some(Value::Text(data)), Some(Value::DataType(item)), Some(Value::Tuple(shape)), Some(Value::Text(order))) =
                    (argument(0), argument(1), argument(2), argument(3))
                else {
                    return Err("the array is not one of integers".into());
                };
                let array = Array { shape: self.sizes(shape)?, item: *item, column_major: **order == *b"F", data: data.clone() };
                Value::Array(array.checked()?)
            }
            (b"numpy", b"dtype") => match argument(0) {
                Some(Value::Text(name)) => Value::DataType(Item::named(name).ok_or_else(|| {
                    format!(
                        "the pickle holds numbers of the kind `{}`, and bytes or integers are needed",
                        String::from_utf8_lossy(name)
                    )
                })?),
                _ => return Err("the pickle's data type has no name".into()),
            },
            (b"_codecs", b"encode") => match argument(0) {
                Some(Value::Text(text)) => {
                    let text = std::str::from_utf8(text).map_err(|_| "a text of the pickle is damaged")?;
                    let bytes = text.chars().map(|letter| u8::try_from(u32::from(letter)));
                    let bytes = bytes.collect::<Result<Vec<u8>, _>>().map_err(|_| "bytes of the pickle are damaged")?;
                    return self.made(bytes);
                }
                _ => return Err("the pickle encodes what is no text".into()),
            },
            (b"__builtin__" | b"builtins", b"bytes" | b"bytearray") => match argument(0) {
                None => Value::Text(Cow::Borrowed(&[])),
                Some(Value::Text(text)) => Value::Text(text.clone()),
                Some(_) => return Err("the pickle makes bytes of what is no text".into()),
            },
            _ => {
                let name = [&module, &b"."[..], name].concat();
                return Err(format!(
                    "the pickle wants to call {:?}, which no batch of images needs",
                    String::from_utf8_lossy(&name)
                ));
            }
        };
        self.push(result)
    }

    /// Sets the state of an object; here of an array: version, shape, data type, column order, bytes.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let value = |id: Id| &self.values[id as usize];
        let built = match (self.stack.last().map(|&id| value(id)), value(state)) {
            (Some(Value::DataType(item)), Value::Tuple(parts)) => {
                let order = parts.get(1).map(|&id| value(id));
                if item.size > 1 && matches!(order, Some(Value::Text(order)) if **order == *b">") {
                    return Err("the pickle holds big-endian numbers, which are not read here".into());
                }
                return Ok(());
            }
            (Some(Value::DataType(_)), _) => return Ok(()),
            (Some(Value::Array(_)), Value::Tuple(parts)) if parts.len() == 5 => {
                match (value(parts[1]), value(parts[2]), value(parts[3]), value(parts[4])) {
                    (Value::Tuple(shape), Value::DataType(item), order, Value::Text(data)) => {
                        let column_major = matches!(order, Value::Truth(true) | Value::Integer(1));
                        Array { shape: self.sizes(shape)?, item: *item, column_major, data: data.clone() }.checked()?
                    }
                    _ => return Err("the array is not one of integers".into()),
                }
            }
            (Some(Value::Array(_)), _) => return Err("the array has another state than NumPy writes".into()),
            _ => return Err("the pickle builds an object that no batch of images has".into()),
        };
        *self.top()? = Value::Array(built);
        Ok(())
    }

    fn sizes(&self, shape: &[Id]) -> Result<Vec<usize>, String> {
        let size = |&id: &Id| match &self.values[id as usize] {
            Value::Integer(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        shape.iter().map(size).collect::<Option<Vec<usize>>>().ok_or_else(|| "the array has no shape".into())
    }
}

impl Array<'_> {
    fn checked(self) -> Result<Self, String> {
        let bytes = self.shape.iter().try_fold(self.item.size, |product, &n| product.checked_mul(n));
        match bytes == Some(self.data.len()) {
            true => Ok(self),
            false => Err("the array is not one of integers with as many as its shape says".into()),
        }
    }
}

fn number(digits: &[u8]) -> Result<i64, String> {
    let text = std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse().ok());
    text.ok_or_else(|| "a number of the pickle is damaged".into())
}

/// A place in the memory.
fn place(number: i64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| "the pickle remembers at no place".into())
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match items.len().is_multiple_of(2) {
        true => Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
        false => Err("the pickle has a key without a value".into()),
    }
}
