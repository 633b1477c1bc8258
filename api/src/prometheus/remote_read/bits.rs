//! Bits of chunks, and the numbers that Prometheus writes in as few of them as it can.

/// How many zeros the last written change of a value had at each end.
pub type Window = Option<(u32, u32)>;

/// The bits of a value that changed (prometheus `tsdb/chunkenc/xor.go`, `xorWrite`).
pub fn push_value(bits: &mut Bits, changed: u64, window: &mut Window) {
    if changed == 0 {
        bits.push(0, 1);
        return;
    }
    // Five bits hold the count.
    let leading = changed.leading_zeros().min(31);
    let trailing = changed.trailing_zeros();
    bits.push(1, 1);
    if let Some((known_leading, known_trailing)) = *window
        && leading >= known_leading
        && trailing >= known_trailing
    {
        bits.push(0, 1);
        bits.push(changed >> known_trailing, 64 - known_leading - known_trailing);
        return;
    }
    *window = Some((leading, trailing));
    let width = 64 - leading - trailing;
    bits.push(1, 1);
    bits.push(u64::from(leading), 5);
    // 64 is written as 0, which never occurs.
    bits.push(u64::from(width), 6);
    bits.push(changed >> trailing, width);
}

/// Bits, the highest of each byte first.
pub struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl Bits {
    /// Bits behind whole bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Bits { bytes, free: 0 }
    }

    /// All bytes; the last one is filled up with zeros.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends the lowest `width` bits.
    pub fn push(&mut self, bits: u64, mut width: u32) {
        while width > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = width.min(self.free);
            let part = (bits >> (width - take)) as u8 & (0xff >> (8 - take));
            if let Some(last) = self.bytes.last_mut() {
                *last |= part << (self.free - take);
            }
            self.free -= take;
            width -= take;
        }
    }

    /// Appends a varint, seven bits a byte.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }

    /// Appends a signed number in one of nine widths (prometheus `tsdb/chunkenc/varbit.go`).
    pub fn varbit_int(&mut self, value: i64) {
        let fits = |width: u32| (-((1i64 << (width - 1)) - 1)..=1i64 << (width - 1)).contains(&value);
        let widths = [3, 6, 9, 12, 18, 25, 56];
        let found = widths.iter().position(|width| fits(*width));
        self.varbit(value == 0, value as u64, found.map(|at| (at, widths[at])));
    }

    /// Appends an unsigned number in one of nine widths.
    pub fn varbit_uint(&mut self, value: u64) {
        let widths = [3, 6, 9, 12, 18, 25, 56];
        let found = widths.iter().position(|width| value >> width == 0);
        self.varbit(value == 0, value, found.map(|at| (at, widths[at])));
    }

    fn varbit(&mut self, is_zero: bool, value: u64, width: Option<(usize, u32)>) {
        match width {
            _ if is_zero => self.push(0, 1),
            // So many ones as widths up to this, and a zero.
            Some((at, width)) => {
                let prefix_width = at as u32 + 2;
                self.push((1 << prefix_width) - 2, prefix_width);
                self.push(value, width);
            }
            None => {
                self.push(0xff, 8);
                self.push(value, 64);
            }
        }
    }
}
