# portico_liburing: liburing 2.3 or later as a static library, so that the program needs nothing beside it. Where it is
# missing there is no such target, and Portico is built without the io_uring backend.
option(PORTICO_URING "build the io_uring backend if liburing is there" ON)
find_path(PORTICO_LIBURING_INCLUDE liburing.h)
find_library(PORTICO_LIBURING_LIBRARY NAMES liburing.a)

if(PORTICO_URING AND PORTICO_LIBURING_INCLUDE AND PORTICO_LIBURING_LIBRARY)
  add_library(portico_liburing INTERFACE)
  target_include_directories(portico_liburing SYSTEM INTERFACE ${PORTICO_LIBURING_INCLUDE})
  target_link_libraries(portico_liburing INTERFACE ${PORTICO_LIBURING_LIBRARY})
  target_compile_definitions(portico_liburing INTERFACE PORTICO_URING)
elseif(PORTICO_URING)
  message(STATUS "liburing (header and static library) not found: no io_uring backend")
endif()
