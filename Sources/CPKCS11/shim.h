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

static inline CK_RV CPKCS11_initialize(CK_FUNCTION_LIST *module) {
    CK_C_INITIALIZE_ARGS arguments = {0};
    arguments.flags = CKF_OS_LOCKING_OK;
    return module->C_Initialize(&arguments);
}

static inline CK_RV CPKCS11_finalize(CK_FUNCTION_LIST *module) {
    return module->C_Finalize(NULL);
}

// The slot whose token has this label, at most 32 bytes; CKR_TOKEN_NOT_PRESENT if none has.
static inline CK_RV CPKCS11_find_slot(CK_FUNCTION_LIST *module, const unsigned char *label,
                                      size_t label_bytes, CK_SLOT_ID *slot) {
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_RV answer = module->C_GetSlotList(CK_TRUE, slots, &count);
    if (answer != CKR_OK) return answer;
    unsigned char padded[32];
    memset(padded, ' ', sizeof padded);
    if (label_bytes > sizeof padded) return CKR_TOKEN_NOT_PRESENT;
    memcpy(padded, label, label_bytes);
    for (CK_ULONG index = 0; index < count; index++) {
        CK_TOKEN_INFO token;
        if (module->C_GetTokenInfo(slots[index], &token) != CKR_OK) continue;
        if (memcmp(token.label, padded, sizeof padded) != 0) continue;
        *slot = slots[index];
        return CKR_OK;
    }
    return CKR_TOKEN_NOT_PRESENT;
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

// The AES key with this CKA_ID; CKR_KEY_HANDLE_INVALID if there is none, or if its value could be
// had outside the token.
static inline CK_RV CPKCS11_find_key(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                     const unsigned char *id, size_t id_bytes,
                                     CK_OBJECT_HANDLE *key) {
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
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
