import type { Contract } from "../api/types";

type Field = Contract["fields"][number];

const EXPECTED: Readonly<Record<string, (field: Field) => string>> = {
  required: () => "a value",
  unique: () => "a value that no earlier row has",
  primaryKey: () => "a key that no earlier row has",
  logicalType: (field) =>
    field.formats?.length ? `${field.type} as ${field.formats.join(" or ")}` : `${field.type}`,
  enum: (field) => `one of ${field.options?.enum?.join(", ")}`,
  pattern: (field) => `matches ${field.options?.pattern}`,
  minimum: (field) => `at least ${field.options?.minimum}`,
  maximum: (field) => `at most ${field.options?.maximum}`,
  exclusiveMinimum: (field) => `more than ${field.options?.exclusive_minimum}`,
  exclusiveMaximum: (field) => `less than ${field.options?.exclusive_maximum}`,
  multipleOf: (field) => `a multiple of ${field.options?.multiple_of}`,
  minLength: (field) => `at least ${field.options?.min_length} characters`,
  maxLength: (field) => `at most ${field.options?.max_length} characters`,
};

/** What a row rule wants of a column, in words; null where the contract is not known. */
export function describeExpected(
  contract: Contract | undefined,
  column: string,
  rule: string,
): string | null {
  const field = contract?.fields.find((each) => each.name === column);
  const describe = EXPECTED[rule];
  return field && describe ? describe(field) : null;
}
