#ifndef CPKCS11_SHIM_H
#define CPKCS11_SHIM_H

// PKCS#11 v2.40, as p11-kit's header has it. The module itself is found at run time.
//
// Templates and parameters are arrays of structures with pointers into the caller's memory: built
// here, where they live no longer than the one call that reads them. Each function gives what the
// module gave: CKR_OK, or why not.
#include <dlfcn.h>
#include <string.h>

#include <p11-kit-1/p11-kit/pkcs11.h>

// Loads a module; NULL where it cannot be, with the reason in dlerror(3), or is none. It is never
// unloaded: modules leave threads and destructors behind.
static inline CK_FUNCTION_LIST *CPKCS11_load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return NULL;
    CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    CK_FUNCTION_LIST *functions = NULL;
    if (get == NULL || get(&functions) != CKR_OK) return NULL;
    return functions;
}

// `parameters` is what the module wants to be told in the reserved member, which NSS's softokn reads
// as a string and others must find NULL. Softokn's own structure has one member more.
static inline CK_RV CPKCS11_initialize(CK_FUNCTION_LIST *module, const char *parameters) {
    struct {
        CK_C_INITIALIZE_ARGS standard;
        void *after;
    } arguments = {{0}};
    arguments.standard.flags = CKF_OS_LOCKING_OK;
    arguments.standard.pReserved = (void *)parameters;
    return module->C_Initialize(&arguments);
}

static inline CK_RV CPKCS11_finalize(CK_FUNCTION_LIST *module) {
    return module->C_Finalize(NULL);
}

// The slot whose token has this label, at most 32 bytes, and this serial number, at most 16; without
// `serial_bytes` any. `*found` is how many there are; CKR_TOKEN_NOT_PRESENT if none is.
static inline CK_RV CPKCS11_find_slot(CK_FUNCTION_LIST *module, const unsigned char *label,
                                      size_t label_bytes, const unsigned char *serial,
                                      size_t serial_bytes, CK_SLOT_ID *slot, CK_ULONG *found) {
    *found = 0;
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_RV answer = module->C_GetSlotList(CK_TRUE, slots, &count);
    if (answer != CKR_OK) return answer;
    unsigned char padded[32], padded_serial[16];
    memset(padded, ' ', sizeof padded);
    memset(padded_serial, ' ', sizeof padded_serial);
    if (label_bytes > sizeof padded || serial_bytes > sizeof padded_serial)
        return CKR_TOKEN_NOT_PRESENT;
    memcpy(padded, label, label_bytes);
    memcpy(padded_serial, serial, serial_bytes);
    for (CK_ULONG index = 0; index < count; index++) {
        CK_TOKEN_INFO token;
        if (module->C_GetTokenInfo(slots[index], &token) != CKR_OK) continue;
        if (memcmp(token.label, padded, sizeof padded) != 0) continue;
        if (serial_bytes > 0
            && memcmp(token.serialNumber, padded_serial, sizeof padded_serial) != 0)
            continue;
        *slot = slots[index];
        *found += 1;
    }
    return *found == 0 ? CKR_TOKEN_NOT_PRESENT : CKR_OK;
}

static inline CK_RV CPKCS11_log_in(CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
                                   const unsigned char *pin, size_t pin_bytes,
                                   CK_SESSION_HANDLE *session) {
    CK_RV answer = module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                         session);
    if (answer != CKR_OK) return answer;
    answer = module->C_Login(*session, CKU_USER, (unsigned char *)pin, pin_bytes);
    return answer == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : answer;
}

// The secret key of this type, or the private half of the pair, with this CKA_ID;
// CKR_KEY_HANDLE_INVALID if there is none, or if its value could be had outside the token.
static inline CK_RV CPKCS11_find_key(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                     CK_KEY_TYPE type, const unsigned char *id, size_t id_bytes,
                                     CK_OBJECT_HANDLE *key) {
    CK_OBJECT_CLASS kind = type == CKK_AES ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &kind, sizeof kind},
                             {CKA_KEY_TYPE, &type, sizeof type},
                             {CKA_ID, (void *)id, id_bytes}};
    CK_ULONG count = 0;
    CK_RV answer = module->C_FindObjectsInit(session, wanted, 3);
    if (answer != CKR_OK) return answer;
    answer = module->C_FindObjects(session, key, 1, &count);
    CK_RV end = module->C_FindObjectsFinal(session);
    if (answer != CKR_OK) return answer;
    if (end != CKR_OK) return end;
    if (count != 1) return CKR_KEY_HANDLE_INVALID;
    CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
    CK_ATTRIBUTE found[] = {{CKA_SENSITIVE, &sensitive, sizeof sensitive},
                            {CKA_EXTRACTABLE, &extractable, sizeof extractable}};
    answer = module->C_GetAttributeValue(session, *key, found, 2);
    if (answer != CKR_OK) return answer;
    return sensitive && !extractable ? CKR_OK : CKR_KEY_HANDLE_INVALID;
}

// Makes an AES-256 key that never leaves the token.
static inline CK_RV CPKCS11_make_key(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                     const unsigned char *id, size_t id_bytes,
                                     const unsigned char *label, size_t label_bytes,
                                     CK_OBJECT_HANDLE *key) {
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &yes, sizeof yes},
                             {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_SENSITIVE, &yes, sizeof yes},
                             {CKA_EXTRACTABLE, &no, sizeof no},
                             {CKA_ENCRYPT, &yes, sizeof yes},
                             {CKA_DECRYPT, &yes, sizeof yes},
                             {CKA_WRAP, &yes, sizeof yes},
                             {CKA_UNWRAP, &yes, sizeof yes},
                             {CKA_SIGN, &no, sizeof no},
                             {CKA_VERIFY, &no, sizeof no},
                             {CKA_VALUE_LEN, &bytes, sizeof bytes},
                             {CKA_ID, (void *)id, id_bytes},
                             {CKA_LABEL, (void *)label, label_bytes}};
    return module->C_GenerateKey(session, &mechanism, wanted, sizeof wanted / sizeof *wanted, key);
}

// Whether the token says that it makes pairs of keys of up to `bits` bits by `make`, and that it does
// by `use` what `use_flag` names.
static inline int CPKCS11_lists(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                CK_MECHANISM_TYPE make, CK_ULONG bits, CK_MECHANISM_TYPE use,
                                CK_FLAGS use_flag) {
    CK_SESSION_INFO info;
    CK_MECHANISM_INFO making, using;
    if (module->C_GetSessionInfo(session, &info) != CKR_OK) return 0;
    if (module->C_GetMechanismInfo(info.slotID, make, &making) != CKR_OK ||
        module->C_GetMechanismInfo(info.slotID, use, &using) != CKR_OK)
        return 0;
    return (making.flags & CKF_GENERATE_KEY_PAIR) != 0 && making.ulMaxKeySize >= bits &&
           (using.flags & use_flag) != 0;
}

// OAEP; with which digest, the mechanism list does not say.
static inline int CPKCS11_lists_oaep(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                     CK_ULONG bits) {
    return CPKCS11_lists(module, session, CKM_RSA_PKCS_KEY_PAIR_GEN, bits, CKM_RSA_PKCS_OAEP,
                         CKF_DECRYPT);
}

// ECDSA; on which curves, the mechanism list does not say.
static inline int CPKCS11_lists_ecdsa(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session) {
    return CPKCS11_lists(module, session, CKM_EC_KEY_PAIR_GEN, 256, CKM_ECDSA, CKF_SIGN);
}

// What kinds of pairs of keys differ in.
typedef struct CPKCS11_pair {
    CK_MECHANISM_TYPE mechanism;
    // Which two attributes of the public half say what it is to be.
    CK_ATTRIBUTE shape[2];
    // What the public half does: CKA_ENCRYPT or CKA_VERIFY.
    CK_ATTRIBUTE_TYPE use;
    // The attribute of the public half that is wanted.
    CK_ATTRIBUTE_TYPE result;
    // Whether it outlives the session.
    int stays;
} CPKCS11_pair;

// Makes a pair whose private half never leaves the token. The public half is an object of the session,
// and gone when this returns: `result` is what it was.
static inline CK_RV CPKCS11_make_pair(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                      const CPKCS11_pair *pair, const unsigned char *id,
                                      size_t id_bytes, const unsigned char *label,
                                      size_t label_bytes, unsigned char *result,
                                      CK_ULONG *result_bytes, CK_OBJECT_HANDLE *key) {
    CK_MECHANISM mechanism = {pair->mechanism, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE, token = pair->stays ? CK_TRUE : CK_FALSE;
    CK_BBOOL signs = pair->use == CKA_VERIFY ? CK_TRUE : CK_FALSE;
    CK_BBOOL decrypts = signs ? CK_FALSE : CK_TRUE;
    CK_ATTRIBUTE public_half[] = {{CKA_TOKEN, &no, sizeof no},
                                  {pair->use, &yes, sizeof yes},
                                  pair->shape[0],
                                  pair->shape[1]};
    CK_ATTRIBUTE private_half[] = {{CKA_TOKEN, &token, sizeof token},
                                   {CKA_PRIVATE, &yes, sizeof yes},
                                   {CKA_SENSITIVE, &yes, sizeof yes},
                                   {CKA_EXTRACTABLE, &no, sizeof no},
                                   {CKA_DECRYPT, &decrypts, sizeof decrypts},
                                   {CKA_UNWRAP, &no, sizeof no},
                                   {CKA_SIGN, &signs, sizeof signs},
                                   {CKA_ID, (void *)id, id_bytes},
                                   {CKA_LABEL, (void *)label, label_bytes}};
    CK_OBJECT_HANDLE half;
    CK_RV answer = module->C_GenerateKeyPair(
        session, &mechanism, public_half, sizeof public_half / sizeof *public_half, private_half,
        sizeof private_half / sizeof *private_half, &half, key);
    if (answer != CKR_OK) return answer;
    CK_ATTRIBUTE value = {pair->result, result, *result_bytes};
    answer = module->C_GetAttributeValue(session, half, &value, 1);
    if (answer == CKR_OK) *result_bytes = value.ulValueLen;
    module->C_DestroyObject(session, half);
    if (answer != CKR_OK) module->C_DestroyObject(session, *key);
    return answer;
}

// An RSA key with the exponent 65537, which decrypts; gives its modulus, big-endian.
static inline CK_RV CPKCS11_make_rsa(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                     CK_ULONG bits, int stays, const unsigned char *id,
                                     size_t id_bytes, const unsigned char *label,
                                     size_t label_bytes, unsigned char *modulus,
                                     CK_ULONG *modulus_bytes, CK_OBJECT_HANDLE *key) {
    unsigned char exponent[] = {1, 0, 1};
    CPKCS11_pair pair = {CKM_RSA_PKCS_KEY_PAIR_GEN,
                         {{CKA_MODULUS_BITS, &bits, sizeof bits},
                          {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}},
                         CKA_ENCRYPT,
                         CKA_MODULUS,
                         stays};
    return CPKCS11_make_pair(module, session, &pair, id, id_bytes, label, label_bytes, modulus,
                             modulus_bytes, key);
}

// A key on P-256, which signs and stays; gives its point, as an OCTET STRING of DER or as it is: modules
// differ.
static inline CK_RV CPKCS11_make_p256(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                      const unsigned char *id, size_t id_bytes,
                                      const unsigned char *label, size_t label_bytes,
                                      unsigned char *point, CK_ULONG *point_bytes,
                                      CK_OBJECT_HANDLE *key) {
    // 1.2.840.10045.3.1.7 (RFC 5480, 2.1.1.1).
    unsigned char curve[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_BBOOL no = CK_FALSE;
    CPKCS11_pair pair = {
        CKM_EC_KEY_PAIR_GEN,
        {{CKA_EC_PARAMS, curve, sizeof curve}, {CKA_DERIVE, &no, sizeof no}},
        CKA_VERIFY,
        CKA_EC_POINT,
        1};
    return CPKCS11_make_pair(module, session, &pair, id, id_bytes, label, label_bytes, point,
                             point_bytes, key);
}

// ECDSA over a digest: r and s, one after the other.
static inline CK_RV CPKCS11_sign(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE key, const unsigned char *digest,
                                 size_t digest_bytes, unsigned char *signature,
                                 CK_ULONG *signature_bytes) {
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_RV answer = module->C_SignInit(session, &mechanism, key);
    if (answer != CKR_OK) return answer;
    return module->C_Sign(session, (unsigned char *)digest, digest_bytes, signature,
                          signature_bytes);
}

// RSA-OAEP with SHA-256, MGF1 with SHA-256 and no label (RFC 8017, 7.1.2).
static inline CK_RV CPKCS11_decrypt(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, const unsigned char *input,
                                    size_t input_bytes, unsigned char *output,
                                    CK_ULONG *output_bytes) {
    CK_RSA_PKCS_OAEP_PARAMS parameters = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &parameters, sizeof parameters};
    CK_RV answer = module->C_DecryptInit(session, &mechanism, key);
    if (answer != CKR_OK) return answer;
    return module->C_Decrypt(session, (unsigned char *)input, input_bytes, output, output_bytes);
}

// AES-GCM with a nonce of 12 bytes and a tag of 16, which follows the ciphertext. A token that makes
// the nonce itself writes it into `nonce`.
static inline CK_RV CPKCS11_seal(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE key, unsigned char *nonce,
                                 const unsigned char *context, size_t context_bytes,
                                 const unsigned char *input, size_t input_bytes,
                                 unsigned char *output, CK_ULONG *output_bytes) {
    CK_GCM_PARAMS parameters = {nonce, 12, 96, (unsigned char *)context, context_bytes, 128};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof parameters};
    CK_RV answer = module->C_EncryptInit(session, &mechanism, key);
    if (answer != CKR_OK) return answer;
    return module->C_Encrypt(session, (unsigned char *)input, input_bytes, output, output_bytes);
}

static inline CK_RV CPKCS11_open(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE key, const unsigned char *nonce,
                                 const unsigned char *context, size_t context_bytes,
                                 const unsigned char *input, size_t input_bytes,
                                 unsigned char *output, CK_ULONG *output_bytes) {
    CK_GCM_PARAMS parameters = {
        (unsigned char *)nonce, 12, 96, (unsigned char *)context, context_bytes, 128};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof parameters};
    CK_RV answer = module->C_DecryptInit(session, &mechanism, key);
    if (answer != CKR_OK) return answer;
    return module->C_Decrypt(session, (unsigned char *)input, input_bytes, output, output_bytes);
}

// AES key wrap (RFC 3394) of a secret, which is an object of the session meanwhile.
static inline CK_RV CPKCS11_wrap(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE key, const unsigned char *secret,
                                 size_t secret_bytes, unsigned char *output,
                                 CK_ULONG *output_bytes) {
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE values[] = {{CKA_CLASS, &kind, sizeof kind},
                             {CKA_KEY_TYPE, &type, sizeof type},
                             {CKA_TOKEN, &no, sizeof no},
                             {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_EXTRACTABLE, &yes, sizeof yes},
                             {CKA_VALUE, (void *)secret, secret_bytes}};
    CK_OBJECT_HANDLE object;
    CK_RV answer = module->C_CreateObject(session, values, sizeof values / sizeof *values, &object);
    if (answer != CKR_OK) return answer;
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    answer = module->C_WrapKey(session, &mechanism, key, object, output, output_bytes);
    CK_RV end = module->C_DestroyObject(session, object);
    return answer != CKR_OK ? answer : end;
}

static inline CK_RV CPKCS11_unwrap(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                   CK_OBJECT_HANDLE key, const unsigned char *wrapped,
                                   size_t wrapped_bytes, unsigned char *output,
                                   CK_ULONG *output_bytes) {
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &kind, sizeof kind},
                             {CKA_KEY_TYPE, &type, sizeof type},
                             {CKA_TOKEN, &no, sizeof no},
                             {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_SENSITIVE, &no, sizeof no},
                             {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_OBJECT_HANDLE object;
    CK_RV answer = module->C_UnwrapKey(session, &mechanism, key, (unsigned char *)wrapped,
                                       wrapped_bytes, wanted, sizeof wanted / sizeof *wanted,
                                       &object);
    if (answer != CKR_OK) return answer;
    CK_ATTRIBUTE value = {CKA_VALUE, output, *output_bytes};
    answer = module->C_GetAttributeValue(session, object, &value, 1);
    if (answer == CKR_OK) *output_bytes = value.ulValueLen;
    CK_RV end = module->C_DestroyObject(session, object);
    return answer != CKR_OK ? answer : end;
}

static inline CK_RV CPKCS11_destroy(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE object) {
    return module->C_DestroyObject(session, object);
}

#endif
